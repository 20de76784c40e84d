#include "execute.hpp"

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "dispatch.hpp"
#include "machine.hpp"
#include "threads.hpp"

namespace halfwave {
namespace {

// Elements that a thread takes at a time: some microseconds of the fastest functions, as long as it takes to wake up a
// thread.
constexpr std::size_t grain = 32768;

std::ptrdiff_t item_size(Storage storage) {
  switch (storage) {
    case Storage::float16: return 2;
    case Storage::float32: return 4;
    case Storage::float64: return 8;
  }
  return 0;
}

// Makes the innermost dimension a long one: a row costs as much as a few dozen elements.
void lengthen_rows(Call& call) {
  constexpr std::size_t enough = 64;
  const int last = call.dimensions - 1;
  if (call.shape[last] >= enough) return;
  const int longest = int(std::max_element(call.shape, call.shape + call.dimensions) - call.shape);
  std::swap(call.shape[last], call.shape[longest]);
  std::swap(call.strides[last], call.strides[longest]);
}

// Whether no output element shares memory with an operand of another element, along one dimension.
bool independent(const Call& call) {
  struct Range {
    std::uintptr_t low, high;
    bool overlaps(const Range& other) const { return low < other.high && other.low < high; }
  };
  const Operation& op = call.operation;
  const std::ptrdiff_t* strides = call.strides[0];
  const std::ptrdiff_t item = item_size(call.storage);
  const int inputs = op.data + op.parameters;
  const auto range = [&](int k) {
    const std::ptrdiff_t size = k >= op.data && k < inputs && item < 4 ? 4 : item;
    const auto first = reinterpret_cast<std::uintptr_t>(call.operands[k]);
    const std::uintptr_t last = first + std::uintptr_t(strides[k]) * (call.shape[0] - 1);
    return Range{std::min(first, last), std::max(first, last) + std::uintptr_t(size)};
  };
  for (int o = inputs; o < op.operands(); ++o) {
    if (strides[o] < item && strides[o] > -item) return false;
    for (int k = 0; k < o; ++k) {
      const bool same = call.operands[k] == call.operands[o] && strides[k] == strides[o];
      if (!same && range(o).overlaps(range(k))) return false;
    }
  }
  return true;
}

void in_order(const Call& call) {
  const InstructionSet& set = current_instruction_set();
  for (std::size_t i = 0; i < call.shape[0]; ++i)
    set.run(call.operation, call.storage, call.operands, call.strides[0], i, i + 1, false);
}

std::atomic<std::size_t> streaming_size{0};  // 0: the machine was not yet asked

std::size_t streaming_limit() {
  std::size_t size = streaming_size.load(std::memory_order_relaxed);
  if (size == 0) streaming_size.store(size = cache_size() / 2);
  return size;
}

// Whether the results go past the cache to memory: where they would only drive out of it what is needed sooner.
bool outgrows_cache(const Call& call, std::size_t total) {
  const Operation& op = call.operation;
  const std::ptrdiff_t item = item_size(call.storage);
  if (total * std::size_t(op.outputs * item) < streaming_limit()) return false;
  for (int k = op.data + op.parameters; k < op.operands(); ++k)
    if (call.strides[call.dimensions - 1][k] != item) return false;
  return true;
}

void run_range(const Call& call, std::size_t begin, std::size_t end, bool streaming) {
  const InstructionSet& set = current_instruction_set();
  const std::ptrdiff_t* strides = call.strides[call.dimensions - 1];
  for_each_row(call, call.operation.operands(), begin, end, [&](char* const* row, std::size_t first, std::size_t n) {
    set.run(call.operation, call.storage, row, strides, first, first + n, streaming);
  });
}

}  // namespace

void simplify(Call& call, int operands) {
  int kept = 0;
  for (int d = 0; d < call.dimensions; ++d) {
    if (call.shape[d] == 1 && call.dimensions > 1) continue;
    bool continues = kept > 0;
    for (int k = 0; continues && k < operands; ++k)
      continues = call.strides[kept - 1][k] == call.strides[d][k] * std::ptrdiff_t(call.shape[d]);
    if (continues) {
      call.shape[kept - 1] *= call.shape[d];
    } else {
      call.shape[kept] = call.shape[d];
      ++kept;
    }
    std::copy_n(call.strides[d], operands, call.strides[kept - 1]);
  }
  if (kept == 0) call.shape[kept++] = 1;
  call.dimensions = kept;
}

void set_streaming_size(std::size_t bytes) { streaming_size.store(bytes); }

void execute(Call& call) {
  std::size_t total = 1;
  for (int d = 0; d < call.dimensions; ++d) total *= call.shape[d];
  if (total == 0) return;
  if (call.dimensions > 1) {
    simplify(call, call.operation.operands());
    lengthen_rows(call);
  } else if (!independent(call)) {
    return in_order(call);
  }

  const bool streaming = outgrows_cache(call, total);
  if (total < 2 * grain) return run_range(call, 0, total, streaming);
  parallel((total + grain - 1) / grain,
           [&](std::size_t part) { run_range(call, part * grain, std::min(total, (part + 1) * grain), streaming); });
}

}  // namespace halfwave
