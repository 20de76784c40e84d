#include "reduce.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <functional>
#include <numeric>

#include "dispatch.hpp"
#include "execute.hpp"
#include "floating_point_state.hpp"
#include "threads.hpp"

namespace halfwave {
namespace {

// Adds numbers pairwise in the order in which they come: level i holds a sum of 2^i of them, or nothing.
class PairwiseSum {
 public:
  void add(double value) {
    std::size_t level = 0;
    for (std::size_t n = count_++; n & 1; n >>= 1) value += levels_[level++];
    levels_[level] = value;
  }
  // What is left after the last of equal nodes.
  void add_rest(double value) { rest_ = value; }
  double total() const {
    double sum = rest_;
    std::size_t level = 0;
    for (std::size_t n = count_; n; n >>= 1, ++level)
      if (n & 1) sum += levels_[level];
    return sum;
  }

 private:
  std::array<double, 64> levels_;
  std::size_t count_ = 0;
  double rest_ = 0;
};

template <class T>
double sum_chunk_of(const InstructionSet& set, const T* terms, std::size_t n) {
  if constexpr (sizeof(T) == sizeof(float))
    return set.sum_f32(terms, n);
  else
    return set.sum_f64(terms, n);
}

// Elements that a thread sums at a time: a node of the tree.
constexpr std::size_t chunks_per_part = 64;
constexpr std::size_t part_size = chunks_per_part * sum_chunk;

// The sum of the elements [begin, end) of `call`, of which the outputs' addresses are filled in here.
template <class T>
double sum_range(const Call& call, int output, std::size_t begin, std::size_t end) {
  const FloatingPointState state;
  const InstructionSet& set = current_instruction_set();
  const Operation& op = call.operation;
  const int inputs = op.data + op.parameters;
  std::ptrdiff_t strides[max_operands];
  std::copy_n(call.strides[call.dimensions - 1], inputs, strides);
  std::fill_n(strides + inputs, op.outputs, std::ptrdiff_t(sizeof(T)));

  T terms[max_outputs][sum_chunk];
  std::size_t filled = 0;
  PairwiseSum sum;
  const auto flush = [&] {
    if (filled) sum.add(sum_chunk_of(set, terms[output], filled));
    filled = 0;
  };
  for_each_row(call, inputs, begin, end, [&](char* const* row, std::size_t first, std::size_t length) {
    for (const std::size_t stop = first + length; first < stop;) {
      const std::size_t n = std::min(stop - first, sum_chunk - filled);
      char* at[max_operands];
      for (int k = 0; k < inputs; ++k) at[k] = row[k] + std::ptrdiff_t(first) * strides[k];
      for (int k = 0; k < op.outputs; ++k) at[inputs + k] = reinterpret_cast<char*>(terms[k] + filled);
      set.run(op, call.storage, at, strides, 0, n, false);
      first += n;
      filled += n;
      if (filled == sum_chunk) flush();
    }
  });
  flush();
  return sum.total();
}

double sum_part(const Call& call, int output, std::size_t total, std::size_t part) {
  const std::size_t begin = part * part_size, end = std::min(total, begin + part_size);
  if (begin == end) return 0;
  return call.storage == Storage::float64 ? sum_range<double>(call, output, begin, end)
                                          : sum_range<float>(call, output, begin, end);
}

// The axes of the arrays that are summed over, or those that are not, as the dimensions of a call.
void describe(Call& call, const std::vector<PyArrayObject*>& operands, const std::vector<bool>& summed, bool wanted) {
  call.dimensions = 0;
  for (std::size_t axis = 0; axis < summed.size(); ++axis) {
    if (summed[axis] != wanted) continue;
    call.shape[call.dimensions] = std::size_t(PyArray_DIM(operands[0], int(axis)));
    for (std::size_t k = 0; k < operands.size(); ++k)
      call.strides[call.dimensions][k] = PyArray_STRIDE(operands[k], int(axis));
    ++call.dimensions;
  }
  if (call.dimensions == 0) {
    call.dimensions = 1;
    call.shape[0] = 1;
    std::fill_n(call.strides[0], operands.size(), std::ptrdiff_t(0));
  }
  for (std::size_t k = 0; k < operands.size(); ++k) call.operands[k] = PyArray_BYTES(operands[k]);
}

std::size_t size_of(const Call& call) {
  return std::accumulate(call.shape, call.shape + call.dimensions, std::size_t(1), std::multiplies<>());
}

}  // namespace

void sum_terms(const Operation& op, Storage storage, const std::vector<PyArrayObject*>& operands,
               const std::vector<bool>& summed, int output, double* totals) {
  Call kept(op, storage), rows(op, storage);
  describe(kept, operands, summed, false);
  describe(rows, operands, summed, true);
  const std::size_t count = size_of(kept), total = size_of(rows);
  if (count == 0) return;
  simplify(rows, int(operands.size()));

  // Whole parts are nodes of the tree, whatever the number of threads.
  const std::size_t parts = std::max(std::size_t(1), (total + part_size - 1) / part_size);
  std::vector<double> nodes(count * parts);
  const std::size_t sums_per_task = std::max(std::size_t(1), part_size / std::max(total, std::size_t(1)));
  parallel((nodes.size() + sums_per_task - 1) / sums_per_task, [&](std::size_t task) {
    Call mine = rows;
    for (std::size_t i = task * sums_per_task; i < std::min(nodes.size(), (task + 1) * sums_per_task); ++i)
      for_each_row(kept, int(operands.size()), i / parts, i / parts + 1,
                   [&](char* const* row, std::size_t first, std::size_t) {
                     const std::ptrdiff_t* strides = kept.strides[kept.dimensions - 1];
                     for (std::size_t k = 0; k < operands.size(); ++k)
                       mine.operands[k] = row[k] + std::ptrdiff_t(first) * strides[k];
                     nodes[i] = sum_part(mine, output, total, i % parts);
                   });
  });

  const FloatingPointState state;
  for (std::size_t i = 0; i < count; ++i) {
    PairwiseSum sum;
    for (std::size_t p = 0; p < parts; ++p) {
      const double node = nodes[i * parts + p];
      (p + 1) * part_size <= total ? sum.add(node) : sum.add_rest(node);
    }
    totals[i] = sum.total();
  }
}

}  // namespace halfwave
