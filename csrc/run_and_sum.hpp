// Operations whose results are summed in the pass over memory that computes them.
#pragma once

#include "floating_point_state.hpp"
#include "narrow.hpp"
#include "simd/simd.hpp"
#include "table.hpp"

namespace halfwave {
namespace {

void run(const Operation&, Storage, char* const* operands, const ptrdiff_t* strides, size_t begin, size_t end,
         bool streaming);

// sums[i] += terms[i]
template <class T>
void add_beside(double* sums, const T* terms, size_t n) {
  HALFWAVE_INDEPENDENT
  for (size_t i = 0; i < n; ++i) sums[i] += static_cast<double>(terms[i]);
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

template <class T>
void add_line(const Tile& tile, double* sums, const T* terms, size_t n, size_t row) {
  if (tile.columns == 1)
    add_along(sums, terms, n, row);
  else
    add_beside(sums + row % sum_lanes * tile.columns, terms, n);
}

template <class Format>
void add_narrow_line(const Tile& tile, double* sums, const uint16_t* terms, size_t n, size_t row) {
  float wide[sum_chunk + pair];
  for (size_t i = 0; i < n; i += pair) {
    uint16_t padded[pair] = {};
    memcpy(padded, terms + i, (n - i < pair ? n - i : pair) * sizeof(uint16_t));
    float ordered[pair];
    widen<Format>(padded, ordered);
    for (size_t j = 0; j < pair; ++j) wide[i + j] = ordered[Format::place(j)];
  }
  add_line(tile, sums, wide, n, row);
}

// `sums` holds sum_lanes rows of as many numbers as the tile has columns.
void run_and_sum(const Operation& op, Storage storage, const Tile& tile, double* sums) {
  const FloatingPointState state;
  const ptrdiff_t item = storage == Storage::float64 ? 8 : storage == Storage::float32 ? 4 : 2;
  const int inputs = op.data + op.parameters;
  const bool along = tile.columns == 1;
  const size_t lines = along ? 1 : tile.rows, n = along ? tile.rows : tile.columns;
  const ptrdiff_t* from = along ? tile.row_strides : tile.column_strides;
  const bool in_place = tile.stored && !tile.streaming && from[inputs] == item;

  alignas(64) char buffers[max_outputs][sum_chunk * sizeof(double)];
  ptrdiff_t strides[max_operands];
  for (int k = 0; k < op.operands(); ++k) strides[k] = k < inputs ? from[k] : item;
  for (size_t line = 0; line < lines; ++line) {
    char* at[max_operands];
    const auto own = [&](int k) { return tile.operands[k] + ptrdiff_t(line) * tile.row_strides[k]; };
    for (int k = 0; k < op.operands(); ++k) at[k] = k < inputs || in_place ? own(k) : buffers[k - inputs];
    run(op, storage, at, strides, 0, n, false);
    const char* terms = at[inputs + tile.output];
    const size_t row = tile.first_row + line;
    switch (storage) {
      case Storage::float16:
        add_narrow_line<Float16>(tile, sums, reinterpret_cast<const uint16_t*>(terms), n, row);
        break;
      case Storage::bfloat16:
        add_narrow_line<BFloat16>(tile, sums, reinterpret_cast<const uint16_t*>(terms), n, row);
        break;
      case Storage::float32: add_line(tile, sums, reinterpret_cast<const float*>(terms), n, row); break;
      default: add_line(tile, sums, reinterpret_cast<const double*>(terms), n, row);
    }
    if (!tile.stored || in_place) continue;
    char* to = own(inputs);
    if (from[inputs] == item)
      put(to, terms, n * size_t(item), tile.streaming);
    else if (item == 2)
      scatter(to, from[inputs], reinterpret_cast<const uint16_t*>(terms), n);
    else if (item == 4)
      scatter(to, from[inputs], reinterpret_cast<const float*>(terms), n);
    else
      scatter(to, from[inputs], reinterpret_cast<const double*>(terms), n);
  }
  if (tile.streaming) finish_streaming();
}

}  // namespace
}  // namespace halfwave
