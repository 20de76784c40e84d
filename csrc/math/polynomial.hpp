#pragma once

#include "../simd/simd.hpp"

namespace halfwave {
namespace {

// c[0] + c[1]*x + c[2]*x^2 + …, by Horner's rule: the kernels interleave several vectors, which hides its latency
// better than Estrin's extra operations do.
template <size_t first, class V, size_t n>
HALFWAVE_INLINE V polynomial_from(V x, const typename V::Scalar (&c)[n]) {
  V sum = c[n - 1];
#if defined(__clang__)
#pragma clang loop unroll(full)
#elif defined(__GNUC__)
#pragma GCC unroll 32
#endif
  for (size_t i = n - 1; i > first; --i) sum = fma(sum, x, V(c[i - 1]));
  return sum;
}
template <class V, size_t n>
HALFWAVE_INLINE V polynomial(V x, const typename V::Scalar (&c)[n]) {
  return polynomial_from<0>(x, c);
}

// table[i] for the i in the lowest bits of index's significand.
template <class V>
HALFWAVE_INLINE V lookup(const float (&table)[8], V index) {
  return lookup8(table, index);
}
template <class V>
HALFWAVE_INLINE V lookup(const float (&table)[16], V index) {
  return lookup16(table, index);
}

// The same polynomial with coefficients looked up: those of the one of eight or sixteen that `index` names.
template <size_t first, class V, size_t n, size_t pieces>
HALFWAVE_INLINE V polynomial_from(V x, V index, const float (&c)[n][pieces]) {
  V sum = lookup(c[n - 1], index);
#if defined(__clang__)
#pragma clang loop unroll(full)
#elif defined(__GNUC__)
#pragma GCC unroll 32
#endif
  for (size_t i = n - 1; i > first; --i) sum = fma(sum, x, lookup(c[i - 1], index));
  return sum;
}
template <class V, size_t n, size_t pieces>
HALFWAVE_INLINE V polynomial(V x, V index, const float (&c)[n][pieces]) {
  return polynomial_from<0>(x, index, c);
}
// With c[0] given.
template <class V, size_t n, size_t pieces>
HALFWAVE_INLINE V polynomial(V x, V index, V first, const float (&c)[n][pieces]) {
  return fma(polynomial_from<1>(x, index, c), x, first);
}

// In two parts, c[0] + c[1]*x exactly but for what follows it; c_low are second words of c[0] and c[1]. At a zero at x = 0 the
// first word of c[0] is 0, and `constant - high` exact everywhere.
template <class V, size_t n, size_t pieces>
HALFWAVE_INLINE V linear_parts(V x, V index, const float (&c)[n][pieces], const float (&c_low)[2][pieces], V& low) {
  const V constant = lookup(c[0], index), slope = lookup(c[1], index);
  const V high = fma(slope, x, constant);
  const V rest = fma(slope, x, constant - high) + lookup(c_low[0], index);
  low = fma(fma(polynomial_from<2>(x, index, c), x, lookup(c_low[1], index)), x, rest);
  return high;
}
// The same where what follows c[1]*x is a larger part of the sum.
template <class V, size_t n, size_t pieces>
HALFWAVE_INLINE V polynomial_parts(V x, V index, const float (&c)[n][pieces], const float (&c_low)[2][pieces], V& low) {
  const V s = polynomial_from<2>(x, index, c), c1 = lookup(c[1], index), c0 = lookup(c[0], index);
  const V p = fma(s, x, c1), p_low = fma(s, x, c1 - p) + lookup(c_low[1], index);
  const V high = fma(p, x, c0);
  low = fma(p_low, x, fma(p, x, c0 - high) + lookup(c_low[0], index));
  return high;
}
template <class V, size_t n, size_t pieces>
HALFWAVE_INLINE V linear_parts(V x, V index, const float (&c)[n][pieces], V& low) {
  const V constant = lookup(c[0], index), slope = lookup(c[1], index);
  const V high = fma(slope, x, constant);
  low = fma(x * x, polynomial_from<2>(x, index, c), fma(slope, x, constant - high));
  return high;
}

// The coefficients of first * polynomial(ratio * x), both powers of two.
template <class T, size_t n>
struct Coefficients {
  T c[n];
};
template <class T, size_t n>
constexpr Coefficients<T, n> scaled(const T (&c)[n], T first, T ratio) {
  Coefficients<T, n> result{};
  for (size_t i = 0; i < n; ++i, first *= ratio) result.c[i] = c[i] * first;
  return result;
}

template <class T, size_t n>
constexpr Coefficients<T, n> sums(const T (&a)[n], const T (&b)[n]) {
  Coefficients<T, n> result{};
  for (size_t i = 0; i < n; ++i) result.c[i] = a[i] + b[i];
  return result;
}

}  // namespace
}  // namespace halfwave
