#include "reduce.hpp"

#include <algorithm>
#include <array>
#include <cstddef>

#include "dispatch.hpp"
#include "floating_point_state.hpp"

namespace halfwave {
namespace {

struct Axis {
  std::ptrdiff_t length;
  std::array<std::ptrdiff_t, max_operands> strides;
};

// Adds numbers pairwise in the order in which they come: level i holds a sum of 2^i of them, or nothing.
class PairwiseSum {
 public:
  void add(double value) {
    std::size_t level = 0;
    for (std::size_t n = count_++; n & 1; n >>= 1) value += levels_[level++];
    levels_[level] = value;
  }
  double total() const {
    double sum = 0;
    std::size_t level = 0;
    for (std::size_t n = count_; n; n >>= 1, ++level)
      if (n & 1) sum += levels_[level];
    return sum;
  }

 private:
  std::array<double, 64> levels_;
  std::size_t count_ = 0;
};

using Pointers = std::array<char*, max_operands>;

// Calls visit(pointers) for each index of the axes, in C order.
template <class Visit>
void for_each(const std::vector<Axis>& axes, std::size_t operands, Pointers at, Visit visit, std::size_t depth = 0) {
  if (depth == axes.size()) {
    visit(at);
    return;
  }
  for (std::ptrdiff_t i = 0; i < axes[depth].length; ++i) {
    for_each(axes, operands, at, visit, depth + 1);
    for (std::size_t k = 0; k < operands; ++k) at[k] += axes[depth].strides[k];
  }
}

// Neighbouring axes that every operand walks through with one stride become one.
std::vector<Axis> coalesce(const std::vector<Axis>& axes, std::size_t operands) {
  std::vector<Axis> merged;
  for (const Axis& axis : axes) {
    if (axis.length == 1) continue;
    bool continues = !merged.empty();
    for (std::size_t k = 0; continues && k < operands; ++k)
      continues = merged.back().strides[k] == axis.strides[k] * axis.length;
    if (continues)
      merged.back() = {merged.back().length * axis.length, axis.strides};
    else
      merged.push_back(axis);
  }
  return merged;
}

template <class T>
double sum_chunk_of(const InstructionSet& set, const T* terms, std::size_t n) {
  if constexpr (sizeof(T) == sizeof(float))
    return set.sum_f32(terms, n);
  else
    return set.sum_f64(terms, n);
}

template <class T>
double sum_one(const Operation& op, Storage storage, const std::vector<Axis>& rows, const Axis& row,
               std::size_t operands, const Pointers& start, int output) {
  const FloatingPointState state;
  const InstructionSet& set = current_instruction_set();
  T terms[max_outputs][sum_chunk];
  std::size_t filled = 0;
  PairwiseSum sum;
  for_each(rows, operands, start, [&](const Pointers& first) {
    Pointers at = first;
    std::array<std::ptrdiff_t, max_operands> strides = row.strides;
    for (std::ptrdiff_t i = 0; i < row.length;) {
      const std::size_t n = std::min(std::size_t(row.length - i), sum_chunk - filled);
      for (int k = 0; k < op.outputs; ++k) {
        at[operands + std::size_t(k)] = reinterpret_cast<char*>(terms[k] + filled);
        strides[operands + std::size_t(k)] = sizeof(T);
      }
      set.run(op, storage, at.data(), strides.data(), 0, n);
      filled += n;
      i += std::ptrdiff_t(n);
      for (std::size_t k = 0; k < operands; ++k) at[k] += std::ptrdiff_t(n) * row.strides[k];
      if (filled == sum_chunk) {
        sum.add(sum_chunk_of(set, terms[output], filled));
        filled = 0;
      }
    }
  });
  if (filled) sum.add(sum_chunk_of(set, terms[output], filled));
  return sum.total();
}

}  // namespace

void sum_terms(const Operation& op, Storage storage, const std::vector<PyArrayObject*>& operands,
               const std::vector<bool>& summed, int output, double* total) {
  std::vector<Axis> kept, rows;
  for (std::size_t axis = 0; axis < summed.size(); ++axis) {
    Axis a{PyArray_DIM(operands[0], int(axis)), {}};
    for (std::size_t k = 0; k < operands.size(); ++k) a.strides[k] = PyArray_STRIDE(operands[k], int(axis));
    (summed[axis] ? rows : kept).push_back(a);
  }
  const bool empty = std::any_of(rows.begin(), rows.end(), [](const Axis& a) { return a.length == 0; });
  rows = coalesce(rows, operands.size());
  Axis row{empty ? 0 : 1, {}};
  if (!rows.empty() && !empty) {
    row = rows.back();
    rows.pop_back();
  }
  if (empty) rows.clear();

  Pointers start{};
  for (std::size_t k = 0; k < operands.size(); ++k) start[k] = PyArray_BYTES(operands[k]);
  for_each(kept, operands.size(), start, [&](const Pointers& at) {
    *total++ = storage == Storage::float64 ? sum_one<double>(op, storage, rows, row, operands.size(), at, output)
                                           : sum_one<float>(op, storage, rows, row, operands.size(), at, output);
  });
}

}  // namespace halfwave
