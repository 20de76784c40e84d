#include "execute.hpp"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "dispatch.hpp"
#include "machine.hpp"

namespace halfwave {
namespace {

std::ptrdiff_t item_size(Storage storage) {
  switch (storage) {
    case Storage::int8:
    case Storage::uint8: return 1;
    case Storage::float16:
    case Storage::bfloat16:
    case Storage::int16:
    case Storage::uint16: return 2;
    case Storage::float32:
    case Storage::int32:
    case Storage::uint32: return 4;
    case Storage::float64:
    case Storage::int64:
    case Storage::uint64: return 8;
  }
  return 0;
}

std::ptrdiff_t operand_size(const Call& call, int k) {
  const std::ptrdiff_t item = item_size(call.storage);
  const bool parameter = k >= call.operation.data && k < call.operation.data + call.operation.parameters;
  return !parameter ? item : is_integer(call.storage) ? 8 : std::max<std::ptrdiff_t>(item, 4);
}

// Walks through memory as the first output lies in it. Elements may be computed in any order.
void sort_dimensions(Call& call) {
  const int output = call.operation.data + call.operation.parameters;
  const auto swap = [&](int a, int b) {
    std::swap(call.shape[a], call.shape[b]);
    std::swap(call.strides[a], call.strides[b]);
  };
  for (int sorted = 1; sorted < call.dimensions; ++sorted)
    for (int d = sorted; d > 0 && std::abs(call.strides[d][output]) > std::abs(call.strides[d - 1][output]); --d)
      swap(d, d - 1);
}

// Makes the innermost dimension a long one, since a row costs as much as a few dozen elements. Not so where each step in
// it would be into another part of memory.
void lengthen_rows(Call& call) {
  constexpr std::size_t enough = 64;
  constexpr std::ptrdiff_t near = 128;
  const int last = call.dimensions - 1;
  if (call.shape[last] >= enough) return;
  const int longest = int(std::max_element(call.shape, call.shape + call.dimensions) - call.shape);
  for (int k = 0; k < call.pointers(); ++k)
    if (std::abs(call.strides[longest][k]) > near) return;
  std::swap(call.shape[last], call.shape[longest]);
  std::swap(call.strides[last], call.strides[longest]);
}

// Elements of a row for which lines of the cache wait until the next row wants their neighbours.
constexpr std::size_t columns_at_a_time = 128;

// Whether an operand lies the other way round, so that each element of a row is in another line of the cache, and its
// neighbour there belongs to the next row.
bool walks_against_the_grain(const Call& call) {
  constexpr std::ptrdiff_t line = 64;
  if (call.dimensions < 2) return false;
  const int row = call.dimensions - 1, column = row - 1;
  if (call.shape[row] <= columns_at_a_time || call.dimensions == max_dimensions) return false;
  for (int k = 0; k < call.pointers(); ++k)
    if (std::abs(call.strides[row][k]) >= line && std::abs(call.strides[column][k]) < line && call.strides[column][k])
      return true;
  return false;
}

// Makes blocks of columns of which all rows are computed before the next block. Returns the call for the last columns,
// which make no whole block.
Call split_columns(Call& call) {
  const int row = call.dimensions - 1, column = row - 1, pointers = call.pointers();
  const std::size_t blocks = call.shape[row] / columns_at_a_time;
  Call rest = call;
  rest.shape[row] -= blocks * columns_at_a_time;
  for (int k = 0; k < pointers; ++k)
    rest.operands[k] += std::ptrdiff_t(blocks * columns_at_a_time) * call.strides[row][k];
  call.shape[row + 1] = columns_at_a_time;
  call.shape[row] = call.shape[column];
  call.shape[column] = blocks;
  std::copy_n(call.strides[row], pointers, call.strides[row + 1]);
  std::copy_n(call.strides[column], pointers, call.strides[row]);
  for (int k = 0; k < pointers; ++k)
    call.strides[column][k] = std::ptrdiff_t(columns_at_a_time) * call.strides[row + 1][k];
  ++call.dimensions;
  return rest;
}

// Copies of a short row that is the same all along a dimension, like the bias of a layer. With them several rows become
// one where all other operands lie side by side.
class RepeatedRows {
 public:
  static bool serve(const Call& call) {
    if (call.masked || call.dimensions < 2) return false;
    const int row = call.dimensions - 1, column = row - 1;
    if (2 * call.shape[row] > enough || call.shape[column] < 2) return false;
    for (int k = 0; k < call.pointers(); ++k) {
      if (repeats(call, k) ? !is_one_row(call, k)
                           : call.strides[column][k] != call.strides[row][k] * std::ptrdiff_t(call.shape[row]))
        return false;
    }
    return true;
  }

  // How many rows become one.
  static std::size_t times(const Call& call) {
    return std::min(call.shape[call.dimensions - 2], enough / row_of(call));
  }

  // Makes the rows longer, and leaves out the last ones, which make no whole one.
  explicit RepeatedRows(Call& call) : times_(times(call)) {
    const int row = call.dimensions - 1, column = row - 1;
    for (int k = 0; k < call.pointers(); ++k) {
      if (repeats(call, k)) copy(call, k);
      call.strides[column][k] *= std::ptrdiff_t(times_);
    }
    call.shape[column] /= times_;
    call.shape[row] *= times_;
  }

 private:
  static constexpr std::size_t enough = 512;

  static std::size_t row_of(const Call& call) { return call.shape[call.dimensions - 1]; }
  static bool repeats(const Call& call, int k) {
    return call.strides[call.dimensions - 2][k] == 0 && call.strides[call.dimensions - 1][k] != 0;
  }

  // Whether the same row serves along all other dimensions as well.
  static bool is_one_row(const Call& call, int k) {
    for (int d = 0; d < call.dimensions - 2; ++d)
      if (call.strides[d][k] != 0) return false;
    return true;
  }

  void copy(Call& call, int k) {
    const std::ptrdiff_t item = operand_size(call, k);
    std::ptrdiff_t& stride = call.strides[call.dimensions - 1][k];
    const std::size_t length = row_of(call), bytes = length * std::size_t(item);
    if (stride == item)
      std::memcpy(copies_[k], call.operands[k], bytes);
    else
      for (std::ptrdiff_t i = 0; i < std::ptrdiff_t(length); ++i)
        std::memcpy(copies_[k] + i * item, call.operands[k] + i * stride, std::size_t(item));
    for (std::size_t i = 1; i < times_; ++i) std::memcpy(copies_[k] + i * bytes, copies_[k], bytes);
    call.operands[k] = copies_[k];
    stride = item;
  }

  std::size_t times_;
  alignas(64) char copies_[max_data + max_parameters][enough * sizeof(double)];
};

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
    const std::ptrdiff_t size = operand_size(call, k);
    const auto first = reinterpret_cast<std::uintptr_t>(call.operands[k]);
    const std::uintptr_t last = first + std::uintptr_t(strides[k]) * (call.shape[0] - 1);
    return Range{std::min(first, last), std::max(first, last) + std::uintptr_t(size)};
  };
  // Elements taken in turns, of which one steps over those of the other.
  const auto interleaved = [&](int o, int k) {
    const std::ptrdiff_t stride = std::abs(strides[o]);
    if (strides[k] != strides[o]) return false;
    const std::ptrdiff_t apart = ((call.operands[o] - call.operands[k]) % stride + stride) % stride;
    return apart >= operand_size(call, k) && stride - apart >= item;
  };
  for (int o = inputs; o < op.operands(); ++o) {
    if (strides[o] < item && strides[o] > -item) return false;
    for (int k = 0; k < o; ++k) {
      const bool same = call.operands[k] == call.operands[o] && strides[k] == strides[o];
      if (!same && range(o).overlaps(range(k)) && !interleaved(o, k)) return false;
    }
  }
  return true;
}

// Without a branch, which a random mask would mispredict.
template <class T>
inline void store_items_by(const char* mask, std::ptrdiff_t mask_stride, char* to, std::ptrdiff_t stride,
                           const char* from, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) {
    T item, before;
    char* at = to + std::ptrdiff_t(i) * stride;
    std::memcpy(&item, from + i * sizeof(T), sizeof(T));
    std::memcpy(&before, at, sizeof(T));
    const T taken = T(T(0) - T(mask[std::ptrdiff_t(i) * mask_stride] != 0));
    item = T((item & taken) | (before & T(~taken)));
    std::memcpy(at, &item, sizeof(T));
  }
}

template <class T>
void store_items(const char* mask, std::ptrdiff_t mask_stride, char* to, std::ptrdiff_t stride, const char* from,
                 std::size_t n) {
  constexpr std::ptrdiff_t item = sizeof(T);
  if (mask_stride == 1 && stride == item)  // known to the compiler, these make vectors of it
    store_items_by<T>(mask, 1, to, item, from, n);
  else
    store_items_by<T>(mask, mask_stride, to, stride, from, n);
}

void store_where(const char* mask, std::ptrdiff_t mask_stride, char* to, std::ptrdiff_t stride, const char* from,
                 std::ptrdiff_t item, std::size_t n) {
  switch (item) {
    case 1: return store_items<std::uint8_t>(mask, mask_stride, to, stride, from, n);
    case 2: return store_items<std::uint16_t>(mask, mask_stride, to, stride, from, n);
    case 4: return store_items<std::uint32_t>(mask, mask_stride, to, stride, from, n);
    case 8: return store_items<std::uint64_t>(mask, mask_stride, to, stride, from, n);
  }
}

void in_order(const Call& call) {
  const InstructionSet& set = current_instruction_set();
  for (std::size_t i = 0; i < call.shape[0]; ++i)
    set.run(call.operation, call.storage, call.operands, call.strides[0], i, i + 1, false);
}

std::atomic<std::size_t> streaming_size{0};  // 0: that of the cache

// Whether the results go past the cache to memory: where they would only drive out of it what is needed sooner. Not where
// they replace what has just been read, which is in the cache anyway.
bool goes_past_cache(const Call& call, std::size_t elements) {
  const Operation& op = call.operation;
  const std::ptrdiff_t item = item_size(call.storage);
  const std::ptrdiff_t* strides = call.strides[call.dimensions - 1];
  const int first_output = op.data + op.parameters;
  std::size_t arrays = std::size_t(op.outputs);
  for (int k = 0; k < op.data; ++k) arrays += strides[k] != 0;
  if (!outgrows_cache(elements * arrays * std::size_t(item))) return false;
  for (int k = first_output; k < op.operands(); ++k)
    if (strides[k] != item ||
        std::find(call.operands, call.operands + op.data, call.operands[k]) != call.operands + op.data)
      return false;
  return true;
}

std::size_t count_true(const char* mask, std::ptrdiff_t stride, std::size_t n) {
  unsigned count = 0;
  if (stride == 1)
    for (std::size_t i = 0; i < n; ++i) count += mask[i] != 0;
  else
    for (std::size_t i = 0; i < n; ++i) count += mask[std::ptrdiff_t(i) * stride] != 0;
  return count;
}

// The elements [first, first + n) of a row, of which the mask may leave out some: those are computed too, but not stored.
void run_masked(const Call& call, char* const* row, std::size_t first, std::size_t n) {
  constexpr std::size_t piece = 256;
  const InstructionSet& set = current_instruction_set();
  const Operation& op = call.operation;
  const int inputs = op.data + op.parameters, operands = op.operands();
  const std::ptrdiff_t item = item_size(call.storage);
  const std::ptrdiff_t* strides = call.strides[call.dimensions - 1];
  alignas(64) char results[max_outputs][piece * sizeof(double)];
  std::ptrdiff_t staged_strides[max_operands];
  std::copy_n(strides, inputs, staged_strides);
  std::fill_n(staged_strides + inputs, op.outputs, item);

  for (std::size_t i = first; i < first + n; i += piece) {
    const std::size_t m = std::min(piece, first + n - i);
    char* at[max_operands];
    for (int k = 0; k < operands; ++k) at[k] = row[k] + std::ptrdiff_t(i) * strides[k];
    const char* mask = row[operands] + std::ptrdiff_t(i) * strides[operands];
    const std::size_t count = count_true(mask, strides[operands], m);
    if (count == 0) continue;
    if (count == m) {
      set.run(op, call.storage, at, strides, 0, m, false);
      continue;
    }
    char* target[max_outputs];
    for (int k = 0; k < op.outputs; ++k) {
      target[k] = at[inputs + k];
      at[inputs + k] = results[k];
    }
    set.run(op, call.storage, at, staged_strides, 0, m, false);
    for (int k = 0; k < op.outputs; ++k)
      store_where(mask, strides[operands], target[k], strides[inputs + k], results[k], item, m);
  }
}

void run_range(const Call& call, std::size_t begin, std::size_t end, bool streaming) {
  const InstructionSet& set = current_instruction_set();
  const std::ptrdiff_t* strides = call.strides[call.dimensions - 1];
  for_each_row(call, call.pointers(), begin, end, [&](char* const* row, std::size_t first, std::size_t n) {
    if (call.masked)
      run_masked(call, row, first, n);
    else
      set.run(call.operation, call.storage, row, strides, first, first + n, streaming);
  });
}

bool is_empty(const Call& call) {
  return std::find(call.shape, call.shape + call.dimensions, std::size_t(0)) != call.shape + call.dimensions;
}

void spread(const Call& call) {
  std::size_t total = 1;
  for (int d = 0; d < call.dimensions; ++d) total *= call.shape[d];
  const bool streaming = !call.masked && goes_past_cache(call, total);
  in_parts(total, streaming ? streaming_grain : grain,
           [&](std::size_t begin, std::size_t end) { run_range(call, begin, end, streaming); });
}

// The last rows of the innermost but one dimension, from row `first` on.
Call last_rows(const Call& call, std::size_t first) {
  const int column = call.dimensions - 2;
  Call rest(call.operation, call.storage);
  rest.dimensions = call.dimensions;
  for (int d = 0; d < call.dimensions; ++d) {
    rest.shape[d] = call.shape[d];
    std::copy_n(call.strides[d], call.pointers(), rest.strides[d]);
  }
  rest.shape[column] -= first;
  for (int k = 0; k < call.pointers(); ++k)
    rest.operands[k] = call.operands[k] + std::ptrdiff_t(first) * call.strides[column][k];
  return rest;
}

void spread_repeated(Call& call) {
  const std::size_t rows = call.shape[call.dimensions - 2];
  const std::size_t whole = rows - rows % RepeatedRows::times(call);
  if (whole < rows) {
    Call rest = last_rows(call, whole);
    spread(rest);
  }
  const RepeatedRows copies(call);
  spread(call);
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

bool outgrows_cache(std::size_t bytes) {
  std::size_t size = streaming_size.load(std::memory_order_relaxed);
  if (size == 0) size = cache_size(thread_count());
  return bytes > size;
}

void set_streaming_size(std::size_t bytes) { streaming_size.store(bytes); }

void execute(Call& call) {
  if (is_empty(call)) return;
  if (call.dimensions == 1) {
    if (!call.masked && !independent(call)) return in_order(call);
    return spread(call);
  }
  sort_dimensions(call);
  simplify(call, call.pointers());
  if (RepeatedRows::serve(call)) return spread_repeated(call);
  lengthen_rows(call);
  if (!walks_against_the_grain(call)) return spread(call);
  Call rest = split_columns(call);
  spread(call);
  if (!is_empty(rest)) spread(rest);
}

}  // namespace halfwave
