// From strided memory into contiguous buffers, and back; past the cache too.
#pragma once

#if defined(__SSE2__) || defined(_M_X64)
#include <immintrin.h>
#endif

#include "simd/simd.hpp"
#include "table.hpp"

namespace halfwave {
namespace {

constexpr size_t chunk = 512;  // elements that are staged at a time; all operands of a chunk fit into the L1 cache

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
  if (stride == 0)
    gather_by(to, from, 0, n);
  else if (stride == 2 * item)
    gather_by(to, from, 2 * item, n);
  else if (stride == -item)
    gather_by(to, from, -item, n);
  else
    gather_by(to, from, stride, n);
}
#if defined(__AVX512F__)
// To every second place, by masked stores: those of AVX2 take longer than single elements. Returns how many.
HALFWAVE_INLINE size_t scatter_by_twos(char* to, const float* from, size_t n) {
  const __m512i twice = _mm512_set_epi32(7, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0);
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    const __m512 eight = _mm512_castps256_ps512(_mm256_loadu_ps(from + i));
    _mm512_mask_storeu_ps(to + i * 2 * sizeof(float), 0x5555, _mm512_permutexvar_ps(twice, eight));
  }
  return i;
}
HALFWAVE_INLINE size_t scatter_by_twos(char* to, const double* from, size_t n) {
  const __m512i twice = _mm512_set_epi64(3, 3, 2, 2, 1, 1, 0, 0);
  size_t i = 0;
  for (; i + 4 <= n; i += 4) {
    const __m512d four = _mm512_castpd256_pd512(_mm256_loadu_pd(from + i));
    _mm512_mask_storeu_pd(to + i * 2 * sizeof(double), 0x55, _mm512_permutexvar_pd(twice, four));
  }
  return i;
}
#endif
template <class T>
HALFWAVE_INLINE size_t scatter_by_twos(char*, const T*, size_t) {
  return 0;
}

template <class T>
void scatter(char* to, ptrdiff_t stride, const T* from, size_t n) {
  constexpr ptrdiff_t item = sizeof(T);
  if (stride == 2 * item) {
    const size_t done = scatter_by_twos(to, from, n);
    to += ptrdiff_t(done) * stride;
    from += done;
    n -= done;
  }
  if (stride == -item)
    scatter_by(to, -item, from, n);
  else
    scatter_by(to, stride, from, n);
}

// Stores past the cache, by whole lines: a line of which something else is written would be fetched first.
constexpr size_t line = 64;

HALFWAVE_INLINE void store_line(char* to, const char* from) {
#if defined(__AVX512F__)
  _mm512_stream_si512(reinterpret_cast<__m512i*>(to), _mm512_loadu_si512(from));
#elif defined(__SSE2__) || defined(_M_X64)
  for (size_t i = 0; i < line; i += sizeof(__m128i))
    _mm_stream_si128(reinterpret_cast<__m128i*>(to + i), _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i)));
#else
  memcpy(to, from, line);
#endif
}
// Asks for what will be read some hundred nanoseconds later: while lines go past the cache to memory, the processor itself
// does not look far enough ahead, and a short function would wait. GCC takes the intrinsic for something that may write
// anywhere, and would prepare the constants of a function anew in each iteration of its loop.
HALFWAVE_INLINE void prefetch_ahead(const void* from) {
#if defined(__SSE2__) || defined(_M_X64)
  constexpr size_t ahead = 2048;
  const char* const wanted = static_cast<const char*>(from) + ahead;
#if defined(__GNUC__) && !defined(__clang__)
  asm volatile("prefetcht0 %a0" : : "p"(wanted));
#else
  _mm_prefetch(wanted, _MM_HINT_T0);
#endif
#else
  static_cast<void>(from);
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

// An operand of n elements side by side: where it lies, or in the buffer.
template <class T>
const T* source(const char* from, ptrdiff_t stride, size_t n, T* buffer) {
  if (stride == sizeof(T)) return reinterpret_cast<const T*>(from);
  gather(buffer, from, stride, n);
  return buffer;
}

// Where results go side by side, and from there to where they belong.
template <class T>
T* target(char* to, ptrdiff_t stride, T* buffer, bool streaming) {
  return stride == sizeof(T) && !streaming ? reinterpret_cast<T*>(to) : buffer;
}
template <class T>
void deliver(char* to, ptrdiff_t stride, const T* results, size_t n, bool streaming) {
  if (stride != sizeof(T))
    scatter(to, stride, results, n);
  else if (streaming)
    put(to, results, n * sizeof(T), streaming);
}

// From so many elements on it pays to let stores begin with a line of the cache, each of them being then in one line only.
constexpr size_t many = 2048;

// How many of n elements, `stride` bytes apart, make the first piece: `most` or, where stores go by lines, those before the
// first line that is all theirs.
HALFWAVE_INLINE size_t first_piece(const char* to, ptrdiff_t stride, size_t n, size_t most, bool by_lines) {
  const size_t missing = (line - reinterpret_cast<uintptr_t>(to) % line) % line / size_t(stride);
  const size_t piece = by_lines && missing != 0 ? missing : most;
  return n < piece ? n : piece;
}

}  // namespace
}  // namespace halfwave
