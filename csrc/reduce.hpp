// Sums over the axes along which an operand was broadcast.
#pragma once

#include <vector>

#include "execute.hpp"
#include "numpy_api.hpp"
#include "table.hpp"

namespace halfwave {

// Of the terms that `op` makes of the operands, all of one shape and of dtype `storage`, sums output `output` over the
// axes in `summed` (one flag per axis); `total` is a C-contiguous float64 array with the remaining axes. The terms are
// added in C order of the summed axes, in chunks of sum_chunk, and the chunks pairwise: a fixed tree.
void sum_terms(const Operation& op, Storage storage, const std::vector<PyArrayObject*>& operands,
               const std::vector<bool>& summed, int output, double* total);

// Carries out a call of one output, no mask, and no memory shared by an output and an operand of another element, and
// sums the results in the same way, in the same pass over memory. 16-bit results are summed as rounded.
void execute_and_sum(const Call& call, const std::vector<bool>& summed, double* totals);

}  // namespace halfwave
