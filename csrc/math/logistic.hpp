#pragma once

#include "exp.hpp"

namespace halfwave {
namespace {

template <class T>
struct LogisticRange;
template <>
struct LogisticRange<float> {
  static constexpr float exponent_offset = 40;
  static constexpr float scale = 0x1p40f;
  static constexpr float largest = 115;  // a * e^-a is 0 beyond, and n + exponent_offset is still normal
};
template <>
struct LogisticRange<double> {
  static constexpr double exponent_offset = 70;
  static constexpr double scale = 0x1p70;
  static constexpr double largest = 753;
};

// The logistic function at -a, for a >= 0, in the form that its relatives share:
//
//   sigmoid(-a) = e^-a / (1 + e^-a) = u / s,   u = c * 2^n,   s = u + c * e^p,   a = p - n * ln2,   c = 2^offset.
//
// Both are scaled by c so that u stays a normal number down to the last subnormal result, which is then rounded by one
// final multiplication by u. q is 1/s as rounded; the exact quotient is q * (1 + correction), where the correction holds
// what the division and the sum s rounded away.
template <class V>
struct LogisticTail {
  V a, u, q, correction;

  explicit HALFWAVE_INLINE LogisticTail(V magnitude) {
    using K = Reduction<typename V::Scalar>;
    using Range = LogisticRange<typename V::Scalar>;
    const V shift = V(K::magic + K::exponent_bias + Range::exponent_offset);
    const V c = V(Range::scale);
    a = min(V(Range::largest), magnitude);
    const V t = fnma(a, V(K::log2e), shift);
    u = exponent_from_low_bits(t);
    const V n = t - shift;
    const V p = fma(n, V(K::ln2_low), fma(n, V(K::ln2_high), a));
    // c * (e^p - 1) = (c * p) * (1 + p * T(p))
    const V cp = c * p;
    const V v = fma(fma(cp, polynomial(p, Expm1<typename V::Scalar>::tail), c), p, u);
    const V s = v + c;
    const V s_low = v - (s - c);
    q = V(1) / s;
    correction = fnma(s_low, q, fnma(s, q, V(1)));
  }

  // sigmoid(-a) / u, correctly rounded but for the error of e^p.
  HALFWAVE_INLINE V quotient() const { return fma(q, correction, q); }
};

// sigmoid(x): below 1.2 ULP. sigmoid(x) + sigmoid(-x) = 1.
template <class V>
HALFWAVE_INLINE V logistic(V x) {
  const LogisticTail<V> f(abs(x));
  const V tail = f.quotient() * f.u;
  return select(x >= V(0), V(1) - tail, tail);
}

// e^-a / (1 + e^-a)^2, a >= 0, times `factor`, a power of two: with z = 1 - uq (= 1/(1 + e^-a)) it is u * q * z, and
// D = 1 - uq - z is what z lost.
template <class V>
HALFWAVE_INLINE V logistic_slope(V magnitude, typename V::Scalar factor) {
  const LogisticTail<V> f(magnitude);
  const V z = fnma(f.u, f.q, V(1));
  const V lost = fnma(f.u, f.q, V(1) - z);
  const V low = fma(f.correction, fma(V(2), z, V(-1)), lost);
  return fma(f.q, z, f.q * low) * (f.u * V(factor));
}

}  // namespace
}  // namespace halfwave
