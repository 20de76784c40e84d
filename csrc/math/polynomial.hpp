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

// The same with coefficients looked up: those of the one of eight polynomials that the lowest three bits of `index` name.
template <size_t first, class V, size_t n>
HALFWAVE_INLINE V polynomial_from(V x, V index, const float (&c)[n][8]) {
  V sum = lookup8(c[n - 1], index);
#if defined(__clang__)
#pragma clang loop unroll(full)
#elif defined(__GNUC__)
#pragma GCC unroll 32
#endif
  for (size_t i = n - 1; i > first; --i) sum = fma(sum, x, lookup8(c[i - 1], index));
  return sum;
}
template <class V, size_t n>
HALFWAVE_INLINE V polynomial(V x, V index, const float (&c)[n][8]) {
  return polynomial_from<0>(x, index, c);
}
// With c[0] given.
template <class V, size_t n>
HALFWAVE_INLINE V polynomial(V x, V index, V first, const float (&c)[n][8]) {
  return fma(polynomial_from<1>(x, index, c), x, first);
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

}  // namespace
}  // namespace halfwave
