// How operands lie in memory, and how they get from there into contiguous arrays of the type that is computed with.
#pragma once

#if defined(__SSE2__) || defined(_M_X64)
#include <emmintrin.h>
#endif

#include "simd/simd.hpp"
#include "table.hpp"

namespace halfwave {
namespace {

constexpr size_t chunk = 256;  // elements that are staged at a time; all operands of a chunk fit into the L1 cache

// Elements one by one; where the stride is known to the compiler it makes shuffles of it.
template <class T>
HALFWAVE_INLINE void gather_by(T* to, const char* from, ptrdiff_t stride, size_t n) {
  for (size_t i = 0; i < n; ++i) memcpy(to + i, from + ptrdiff_t(i) * stride, sizeof(T));
}
// Four at a time: loads before stores, of which the compiler cannot know that they do not overlap.
template <class T>
HALFWAVE_INLINE void scatter_by(char* to, ptrdiff_t stride, const T* from, size_t n) {
  size_t i = 0;
  for (; i + 4 <= n; i += 4, to += 4 * stride) {
    T four[4];
    memcpy(four, from + i, sizeof four);
    for (int j = 0; j < 4; ++j) memcpy(to + j * stride, four + j, sizeof(T));
  }
  for (; i < n; ++i, to += stride) memcpy(to, from + i, sizeof(T));
}
template <class T>
void gather(T* to, const char* from, ptrdiff_t stride, size_t n) {
  constexpr ptrdiff_t item = sizeof(T);
  if (stride == 2 * item)
    gather_by(to, from, 2 * item, n);
  else if (stride == -item)
    gather_by(to, from, -item, n);
  else
    gather_by(to, from, stride, n);
}
template <class T>
void scatter(char* to, ptrdiff_t stride, const T* from, size_t n) {
  constexpr ptrdiff_t item = sizeof(T);
  if (stride == -item)
    scatter_by(to, -item, from, n);
  else
    scatter_by(to, stride, from, n);
}

// Stores past the cache, by whole lines: a line of which something else is written would be fetched first.
constexpr size_t line = 64;

HALFWAVE_INLINE void store_line(char* to, const char* from) {
#if defined(__SSE2__) || defined(_M_X64)
  for (size_t i = 0; i < line; i += sizeof(__m128i))
    _mm_stream_si128(reinterpret_cast<__m128i*>(to + i), _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i)));
#else
  memcpy(to, from, line);
#endif
}
// Makes what was stored so visible to other threads.
HALFWAVE_INLINE void finish_streaming() {
#if defined(__SSE2__) || defined(_M_X64)
  _mm_sfence();
#endif
}

HALFWAVE_INLINE void put(char* to, const void* results, size_t bytes, bool streaming) {
  const char* from = static_cast<const char*>(results);
  size_t i = 0;
  if (streaming && reinterpret_cast<uintptr_t>(to) % line == 0)
    for (; i + line <= bytes; i += line) store_line(to + i, from + i);
  memcpy(to + i, from + i, bytes - i);
}

// How many of n elements lie before the first line that is all theirs.
template <class Memory>
size_t until_aligned(const char* to, size_t n) {
  const size_t missing = (line - reinterpret_cast<uintptr_t>(to) % line) % line / sizeof(typename Memory::Stored);
  return missing == 0 ? (n < chunk ? n : chunk) : (n < missing ? n : missing);
}

// Stored in the type that is computed with: contiguous operands are used where they are.
template <class T>
struct Native {
  using Stored = T;
  using Compute = T;

  static const T* load(const char* from, ptrdiff_t stride, size_t n, T* buffer) {
    if (stride == sizeof(T)) return reinterpret_cast<const T*>(from);
    gather(buffer, from, stride, n);
    return buffer;
  }
  static T* target(char* to, ptrdiff_t stride, T* buffer, bool streaming) {
    return stride == sizeof(T) && !streaming ? reinterpret_cast<T*>(to) : buffer;
  }
  static void store(const Operation&, const T* const*, bool, T* const* results, char* const* to,
                    const ptrdiff_t* strides, size_t n, int outputs, bool streaming) {
    for (int k = 0; k < outputs; ++k) {
      if (strides[k] != sizeof(T))
        scatter(to[k], strides[k], results[k], n);
      else if (streaming)
        put(to[k], results[k], n * sizeof(T), streaming);
    }
  }
};

// x as a float whose last bit tells whether x is inexact: rounded once more to fewer bits, this gives what rounding x
// itself to them would.
HALFWAVE_INLINE float round_to_odd(double x) {
  const float nearest = static_cast<float>(x);
  const double back = nearest;
  if (back == x || x != x) return nearest;
  uint32_t bits;
  memcpy(&bits, &nearest, sizeof bits);
  if ((back < 0 ? -back : back) > (x < 0 ? -x : x)) --bits;
  bits |= 1;
  float odd;
  memcpy(&odd, &bits, sizeof odd);
  return odd;
}

// Stored as float16, computed in float, correctly rounded: where the float result is within its error of a midpoint
// between two halves, the element is computed once more in double.
struct Half {
  using Stored = uint16_t;
  using Compute = float;
  static constexpr size_t padded = chunk + Vec<float>::lanes;

  static void widen(const uint16_t* from, float* to, size_t n) {
    constexpr size_t lanes = Vec<float>::lanes;
    size_t i = 0;
    for (; i + lanes <= n; i += lanes) load_half(from + i).store(to + i);
    if (i < n) {
      uint16_t rest[lanes] = {};
      memcpy(rest, from + i, (n - i) * sizeof(uint16_t));
      load_half(rest).store(to + i, n - i);
    }
  }

  static const float* load(const char* from, ptrdiff_t stride, size_t n, float* buffer) {
    if (stride == sizeof(uint16_t)) {
      widen(reinterpret_cast<const uint16_t*>(from), buffer, n);
    } else {
      uint16_t packed[chunk];
      gather(packed, from, stride, n);
      widen(packed, buffer, n);
    }
    return buffer;
  }
  static float* target(char*, ptrdiff_t, float* buffer, bool) { return buffer; }

  static bool is_nan(uint16_t half) { return (half & 0x7fff) > 0x7c00; }

  // The halves at both ends of each result's error interval; returns whether any is not settled by them. NaN is not: the
  // float product of an infinity and a derivative that vanishes in float may be a number.
  static bool narrow(const float* from, uint16_t* low, uint16_t* high, size_t n) {
    constexpr float error = 0x1p-21f;  // twice what 2 ULP can be
    uint16_t difference = 0;
    for (size_t i = 0; i < n; i += Vec<float>::lanes) {
      const Vec<float> x = n - i < Vec<float>::lanes ? Vec<float>::load(from + i, n - i) : Vec<float>::load(from + i);
      store_half(low + i, fnma(x, Vec<float>(error), x));
      store_half(high + i, fma(x, Vec<float>(error), x));
    }
    for (size_t i = 0; i < n; ++i) difference |= uint16_t((low[i] ^ high[i]) | is_nan(high[i]));
    return difference != 0;
  }

  static void store(const Operation& op, const float* const* in, bool varying, float* const* results, char* const* to,
                    const ptrdiff_t* strides, size_t n, int outputs, bool streaming) {
    for (int k = 0; k < outputs; ++k) {
      uint16_t low[padded], high[padded];
      if (narrow(results[k], low, high, n)) recompute(op, in, varying, k, low, high, n);
      if (strides[k] == sizeof(uint16_t))
        put(to[k], high, n * sizeof(uint16_t), streaming);
      else
        scatter(to[k], strides[k], high, n);
    }
  }

  static void recompute(const Operation& op, const float* const* in, bool varying, int output, const uint16_t* low,
                        uint16_t* high, size_t n) {
    uint16_t rare[chunk];
    size_t m = 0;
    for (size_t i = 0; i < n; ++i)
      if (low[i] != high[i] || is_nan(high[i])) rare[m++] = static_cast<uint16_t>(i);

    double wide[max_operands][chunk];
    const double* wide_in[max_operands];
    double* wide_out[max_operands];
    const int inputs = op.data + op.parameters;
    for (int k = 0; k < inputs; ++k) {
      for (size_t j = 0; j < m; ++j) wide[k][j] = in[k][varying || k < op.data ? rare[j] : 0];
      wide_in[k] = wide[k];
    }
    for (int k = 0; k < op.outputs; ++k) wide_out[k] = wide[inputs + k];
    (varying ? op.f64.varying : op.f64.uniform)(wide_in, wide_out, m);

    float odd[padded];
    uint16_t rounded[padded];
    for (size_t j = 0; j < m; ++j) odd[j] = round_to_odd(wide_out[output][j]);
    for (size_t j = 0; j < m; j += Vec<float>::lanes)
      store_half(rounded + j, m - j < Vec<float>::lanes ? Vec<float>::load(odd + j, m - j) : Vec<float>::load(odd + j));
    for (size_t j = 0; j < m; ++j) high[rare[j]] = rounded[j];
  }
};

}  // namespace
}  // namespace halfwave
