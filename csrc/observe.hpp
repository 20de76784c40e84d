// What a monitor counts in a batch of a layer, for each unit, in one pass over memory.
#pragma once

#include "floating_point_state.hpp"
#include "simd/simd.hpp"
#include "table.hpp"

namespace halfwave {
namespace {

// Units that are seen at a time; what is counted of them stays in the L1 cache.
constexpr size_t units_at_a_time = 64;

struct BatchCounts {
  double sum[units_at_a_time], squares[units_at_a_time];  // of the deviations from the first row
  int32_t fired[units_at_a_time], passed[units_at_a_time], zeros[units_at_a_time];
};

// Rows are added one by one and units side by side, so that each unit's sums are the same in every instruction set.
template <class T>
HALFWAVE_INLINE void count_rows(BatchCounts& counts, const char* derivative, ptrdiff_t derivative_stride, const char* y,
                                ptrdiff_t y_stride, const T* pivot, T saturation, size_t rows, size_t units) {
  constexpr size_t rows_in_one_type = 16;  // whose sums lose less than a unit in their last place each
  memset(&counts, 0, sizeof counts);
  for (size_t first = 0; first < rows; first += rows_in_one_type) {
    const size_t last = first + rows_in_one_type < rows ? first + rows_in_one_type : rows;
    T sum[units_at_a_time] = {}, squares[units_at_a_time] = {};
    for (size_t row = first; row < last; ++row) {
      const T* d = reinterpret_cast<const T*>(derivative + ptrdiff_t(row) * derivative_stride);
      const T* v = reinterpret_cast<const T*>(y + ptrdiff_t(row) * y_stride);
      for (size_t u = 0; u < units; ++u) {
        const T size = d[u] < 0 ? -d[u] : d[u];
        const T deviation = v[u] - pivot[u];
        counts.fired[u] += size > 0;
        counts.passed[u] += size > saturation;
        counts.zeros[u] += v[u] == 0;
        sum[u] += deviation;
        squares[u] += deviation * deviation;
      }
    }
    for (size_t u = 0; u < units; ++u) {
      counts.sum[u] += double(sum[u]);
      counts.squares[u] += double(squares[u]);
    }
  }
}

// T. F. Chan, G. H. Golub, R. J. LeVeque, Updating formulae and a pairwise algorithm for computing sample variances, 1979:
// the mean and the sum of squared deviations of `before` and of `rows` more examples.
HALFWAVE_INLINE void merge_unit(const BatchCounts& counts, size_t u, double pivot, double before, double rows,
                                double& mean, double& squares) {
  const double shift = counts.sum[u] / rows;
  const double delta = (pivot + shift) - mean;
  const double own = counts.squares[u] - shift * counts.sum[u];
  mean += delta * (rows / (before + rows));
  squares += delta * delta * (before * rows / (before + rows)) + (own < 0 ? 0 : own);
}

template <class T>
int64_t observe(const Batch& batch, Observed& seen) {
  const FloatingPointState state;
  constexpr size_t rows_at_a_time = 256;  // from so many the next row may be far away
  int64_t zeros = 0;
  BatchCounts counts;
  for (size_t first = 0; first < batch.units; first += units_at_a_time) {
    const size_t units = batch.units - first < units_at_a_time ? batch.units - first : units_at_a_time;
    for (size_t row = 0; row < batch.rows; row += rows_at_a_time) {
      const size_t rows = batch.rows - row < rows_at_a_time ? batch.rows - row : rows_at_a_time;
      const char* derivative = batch.derivative + ptrdiff_t(row) * batch.derivative_stride + first * sizeof(T);
      const char* y = batch.y + ptrdiff_t(row) * batch.y_stride + first * sizeof(T);
      T pivot[units_at_a_time];
      memcpy(pivot, y, units * sizeof(T));
      if (units == units_at_a_time)  // known to the compiler, the loops over units have no ends
        count_rows(counts, derivative, batch.derivative_stride, y, batch.y_stride, pivot, T(batch.saturation), rows,
                   units_at_a_time);
      else
        count_rows(counts, derivative, batch.derivative_stride, y, batch.y_stride, pivot, T(batch.saturation), rows,
                   units);
      for (size_t u = 0; u < units; ++u) {
        seen.fired[first + u] += counts.fired[u];
        seen.passed[first + u] += counts.passed[u];
        zeros += counts.zeros[u];
        merge_unit(counts, u, double(pivot[u]), double(seen.examples + int64_t(row)), double(rows),
                   seen.mean[first + u], seen.squares[first + u]);
      }
    }
  }
  return zeros;
}

}  // namespace
}  // namespace halfwave
