// How a call is carried out: in order where it must be, by several threads where that pays, and past the cache where the
// result does not fit into it.
#pragma once

#include <algorithm>

#include "table.hpp"
#include "threads.hpp"

namespace halfwave {

constexpr int max_dimensions = 64;  // as in NumPy

// One operation over arrays of one shape. The operands are those of InstructionSet::run, and after them the mask, if
// there is one: bytes that tell which elements are computed.
struct Call {
  const Operation& operation;
  Storage storage;
  bool masked = false;
  int dimensions = 1;
  std::size_t shape[max_dimensions];
  std::ptrdiff_t strides[max_dimensions][max_operands + 1];  // in bytes
  char* operands[max_operands + 1];

  Call(const Operation& operation_, Storage storage_) : operation(operation_), storage(storage_) {}
  int pointers() const { return operation.operands() + masked; }
};

// Calls visit(row, first, n) for the pieces of rows that make up the elements [begin, end) in row-major order: those
// from `first` on of the row that begins at the pointers `row`.
template <class Visit>
void for_each_row(const Call& call, int operands, std::size_t begin, std::size_t end, const Visit& visit) {
  const int last = call.dimensions - 1;
  const std::size_t length = call.shape[last];
  std::size_t index[max_dimensions] = {};
  char* row[max_operands + 1];
  std::copy_n(call.operands, operands, row);
  std::size_t rest = begin / length;
  for (int d = last - 1; d >= 0; rest /= call.shape[d--]) {
    index[d] = rest % call.shape[d];
    for (int k = 0; k < operands; ++k) row[k] += std::ptrdiff_t(index[d]) * call.strides[d][k];
  }
  for (std::size_t first = begin % length;;) {
    const std::size_t n = std::min(length - first, end - begin);
    visit(row, first, n);
    begin += n;
    if (begin == end) return;
    first = 0;
    for (int d = last - 1; d >= 0; --d) {
      for (int k = 0; k < operands; ++k) row[k] += call.strides[d][k];
      if (++index[d] < call.shape[d]) break;
      index[d] = 0;
      for (int k = 0; k < operands; ++k) row[k] -= std::ptrdiff_t(call.shape[d]) * call.strides[d][k];
    }
  }
}

// Elements that a thread takes at a time: some microseconds of the fastest functions, as long as it takes to wake up a
// thread. A multiple of eight, so that no byte of a mask belongs to two of them.
constexpr std::size_t grain = 32768;
// The same where stores go past the cache: each part ends with a wait for them.
constexpr std::size_t streaming_grain = 4 * grain;

// Calls part(begin, end) for parts of [0, total), on several threads if there are enough of them. Where there is one thread
// it goes through memory without a stop.
template <class Part>
void in_parts(std::size_t total, std::size_t size, const Part& part) {
  if (total < 2 * grain || thread_count() == 1) return part(std::size_t(0), total);
  parallel((total + size - 1) / size, [&](std::size_t k) { part(k * size, std::min(total, (k + 1) * size)); });
}
template <class Part>
void in_parts(std::size_t total, const Part& part) {
  in_parts(total, grain, part);
}

// Dimensions of length 1 vanish, and neighbours that the first operands walk through with one stride become one.
void simplify(Call& call, int operands);

// Along a single dimension an output may overlap with anything, as in a ufunc's accumulate: then the elements are computed
// in ascending order. In several dimensions no output shares memory with an operand of another element.
void execute(Call& call);

// Whether a call that reads and writes so many bytes has results go past the cache to memory.
bool outgrows_cache(std::size_t bytes);

// Beyond how many bytes they do, for tests; 0 for the size of the cache.
void set_streaming_size(std::size_t bytes);

}  // namespace halfwave
