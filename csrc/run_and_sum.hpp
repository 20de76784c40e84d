// Operations whose results are summed in the pass over memory that computes them.
#pragma once

#include "floating_point_state.hpp"
#include "memory.hpp"
#include "narrow.hpp"
#include "simd/simd.hpp"
#include "table.hpp"

namespace halfwave {
namespace {

void run_operation(const Operation&, Storage, char* const* operands, const ptrdiff_t* strides, size_t n,
                   bool streaming);

// Rows whose terms go to the same lane are added so many at a time: the sums of a wide tile lie beyond the L1 cache, and
// are loaded and stored once for all of them.
constexpr size_t lines_at_a_time = sum_rows / sum_lanes;
static_assert(lines_at_a_time == 4);

// sums[i] += terms[0][i], then terms[1][i], …
template <class T>
void add_beside(double* sums, const T* const* terms, size_t count, size_t n) {
  if (count == lines_at_a_time) {
    const T *a = terms[0], *b = terms[1], *c = terms[2], *d = terms[3];
    HALFWAVE_INDEPENDENT
    for (size_t i = 0; i < n; ++i)
      sums[i] = sums[i] + static_cast<double>(a[i]) + static_cast<double>(b[i]) + static_cast<double>(c[i]) +
                static_cast<double>(d[i]);
    return;
  }
  for (size_t k = 0; k < count; ++k) {
    const T* line = terms[k];
    HALFWAVE_INDEPENDENT
    for (size_t i = 0; i < n; ++i) sums[i] += static_cast<double>(line[i]);
  }
}

// sums[(first + i) % sum_lanes] += terms[i]
template <class T>
void add_along(double* sums, const T* terms, size_t n, size_t first) {
  size_t i = 0;
  for (; i < n && (first + i) % sum_lanes != 0; ++i) sums[(first + i) % sum_lanes] += static_cast<double>(terms[i]);
  double lanes[sum_lanes];
  memcpy(lanes, sums, sizeof lanes);
  for (; i + sum_lanes <= n; i += sum_lanes)
    for (size_t j = 0; j < sum_lanes; ++j) lanes[j] += static_cast<double>(terms[i + j]);
  for (size_t j = 0; i + j < n; ++j) lanes[j] += static_cast<double>(terms[i + j]);
  memcpy(sums, lanes, sizeof lanes);
}

// Terms as they lie in memory, and as they are added.
template <class T>
struct NativeTerms {
  using Stored = T;
  using Added = T;
  static const T* read(const T* terms, size_t, T*) { return terms; }
};
template <class Format>
struct NarrowTerms {
  using Stored = uint16_t;
  using Added = float;
  static const float* read(const uint16_t* terms, size_t n, float* wide) {
    for (size_t i = 0; i < n; i += pair) {
      uint16_t padded[pair] = {};
      memcpy(padded, terms + i, (n - i < pair ? n - i : pair) * sizeof(uint16_t));
      float ordered[pair];
      widen<Format>(padded, ordered);
      for (size_t j = 0; j < pair; ++j) wide[i + j] = ordered[Format::place(j)];
    }
    return wide;
  }
};

// The lines of a tile, which are computed one after another: its rows, or its only column.
template <class T>
class Lines {
 public:
  Lines(const Operation& o, Storage s, const Tile& t)
      : op(o),
        storage(s),
        tile(t),
        inputs(o.data + o.parameters),
        n(t.columns == 1 ? t.rows : t.columns),
        from(t.columns == 1 ? t.row_strides : t.column_strides),
        in_place(t.stored && from[inputs] == item) {
    for (int k = 0; k < op.operands(); ++k) strides[k] = k < inputs ? from[k] : item;
    joined = in_place && tile.columns > 1 && 2 * n <= chunk;
    for (int k = 0; joined && k <= inputs; ++k) joined = repeats(k) || tile.row_strides[k] == ptrdiff_t(n) * from[k];
    for (int k = 0; joined && k < inputs; ++k)
      if (repeats(k) && from[k] != 0) repeat(k);
  }

  // Computes and stores lines [begin, end).
  void compute(size_t begin, size_t end) {
    first = begin;
    if (joined) return compute_joined(begin, end);
    for (size_t line = begin; line < end; ++line) compute_line(line);
  }
  // Those of a line that was computed last.
  const T* terms(size_t line) const { return in_place ? reinterpret_cast<const T*>(own(inputs, line)) : kept(line); }

 private:
  static constexpr ptrdiff_t item = sizeof(T);

  const Operation& op;
  const Storage storage;
  const Tile& tile;
  const int inputs;
  const size_t n;
  const ptrdiff_t* const from;
  const bool in_place;
  bool joined;
  size_t first = 0;
  bool repeated[max_operands] = {};
  ptrdiff_t strides[max_operands];
  alignas(64) char copies[max_data + max_parameters][chunk * sizeof(double)];
  T unused[max_outputs][sum_chunk];

  char* own(int k, size_t line) const { return tile.operands[k] + ptrdiff_t(line) * tile.row_strides[k]; }
  T* kept(size_t line) const { return static_cast<T*>(tile.scratch) + (line - first) * n; }
  bool repeats(int k) const { return k < inputs && tile.row_strides[k] == 0; }

  void compute_line(size_t line) {
    char* at[max_operands];
    for (int k = 0; k < op.operands(); ++k) {
      if (k < inputs || in_place)
        at[k] = own(k, line);
      else
        at[k] = reinterpret_cast<char*>(k == inputs + tile.output ? kept(line) : unused[k - inputs]);
    }
    run_operation(op, storage, at, strides, n, false);
    if (!tile.stored || in_place) return;
    scatter(own(inputs, line), from[inputs], kept(line), n);
  }

  // Short rows that lie one after another are as fast as a long one.
  void compute_joined(size_t begin, size_t end) {
    const size_t most = chunk / n;
    for (size_t line = begin, m; line < end; line += m) {
      m = end - line < most ? end - line : most;
      char* at[max_operands];
      for (int k = 0; k <= inputs; ++k) at[k] = repeated[k] ? copies[k] : own(k, line);
      run_operation(op, storage, at, strides, m * n, false);
    }
  }
  // Copies what is the same in all rows for as many of them as are computed at a time.
  void repeat(int k) {
    const ptrdiff_t own_item = k < op.data || item > 4 ? item : ptrdiff_t(sizeof(float));
    const size_t size = size_t(own_item), times = chunk / n < tile.rows ? chunk / n : tile.rows;
    if (from[k] == own_item)
      memcpy(copies[k], tile.operands[k], n * size);
    else
      for (size_t i = 0; i < n; ++i) memcpy(copies[k] + i * size, tile.operands[k] + ptrdiff_t(i) * from[k], size);
    for (size_t i = 1; i < times; ++i) memcpy(copies[k] + i * n * size, copies[k], n * size);
    repeated[k] = true;
    strides[k] = own_item;
  }
};

// Rows are computed in the order in which they lie in memory, and added while they are in the L2 cache.
template <class Terms>
void run_and_sum_as(const Operation& op, Storage storage, const Tile& tile, double* sums) {
  alignas(64) typename Terms::Added wide[lines_at_a_time][sum_chunk + pair];
  Lines<typename Terms::Stored> lines(op, storage, tile);
  if (tile.columns == 1) {
    lines.compute(0, 1);
    add_along(sums, Terms::read(lines.terms(0), tile.rows, wide[0]), tile.rows, tile.first_row);
    return;
  }
  for (size_t first = 0; first < tile.rows; first += sum_rows) {
    const size_t end = tile.rows - first < sum_rows ? tile.rows : first + sum_rows;
    lines.compute(first, end);
    for (size_t line = first; line < end && line < first + sum_lanes; ++line) {
      const typename Terms::Added* terms[lines_at_a_time];
      size_t count = 0;
      for (size_t same = line; same < end; same += sum_lanes, ++count)
        terms[count] = Terms::read(lines.terms(same), tile.columns, wide[count]);
      add_beside(sums + (tile.first_row + line) % sum_lanes * tile.columns, terms, count, tile.columns);
    }
  }
}

// `sums` holds sum_lanes rows of as many numbers as the tile has columns.
void run_and_sum(const Operation& op, Storage storage, const Tile& tile, double* sums) {
  const FloatingPointState state;
  switch (storage) {
    case Storage::float16: run_and_sum_as<NarrowTerms<Float16>>(op, storage, tile, sums); break;
    case Storage::bfloat16: run_and_sum_as<NarrowTerms<BFloat16>>(op, storage, tile, sums); break;
    case Storage::float32: run_and_sum_as<NativeTerms<float>>(op, storage, tile, sums); break;
    default: run_and_sum_as<NativeTerms<double>>(op, storage, tile, sums);
  }
}

}  // namespace
}  // namespace halfwave
