#pragma once

#include "coefficients.hpp"
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
  V a, u, s, s_low, q, correction;

  explicit HALFWAVE_INLINE LogisticTail(V magnitude) {
    const V n = scale(magnitude);
    divide(reduced(n));
  }
  // Of magnitude + low.
  HALFWAVE_INLINE LogisticTail(V magnitude, V low) {
    const V n = scale(magnitude);
    divide(fma(n, V(K::ln2_high), a) + fma(n, V(K::ln2_low), low));
  }

  // sigmoid(-a) / u, correctly rounded but for the error of e^p.
  HALFWAVE_INLINE V quotient() const { return fma(q, correction, q); }

  // m * sigmoid(-a). The residual of the division corrects the rounding of the product with it.
  HALFWAVE_INLINE V times(V m) const {
    const V n = m * u, y = n * q;
    return fma(fnma(s_low, y, fnma(s, y, n)), q, y);
  }

 private:
  using K = Reduction<typename V::Scalar>;
  using Range = LogisticRange<typename V::Scalar>;

  HALFWAVE_INLINE V scale(V magnitude) {
    const V shift = V(K::magic + K::exponent_bias + Range::exponent_offset);
    a = min(V(Range::largest), magnitude);
    const V t = fnma(a, V(K::log2e), shift);
    u = exponent_from_low_bits(t);
    return t - shift;
  }
  HALFWAVE_INLINE V reduced(V n) const { return fma(n, V(K::ln2_low), fma(n, V(K::ln2_high), a)); }
  HALFWAVE_INLINE void divide(V p) {
    const V c = V(Range::scale);
    // c * (e^p - 1) = (c * p) * (1 + p * T(p))
    const V v = fma(fma(c * p, polynomial(p, Expm1<typename V::Scalar>::tail), c), p, u);
    s = v + c;
    s_low = v - (s - c);
    q = V(1) / s;
    correction = fnma(s_low, q, fnma(s, q, V(1)));
  }
};

// sigmoid(x), below 1.2 ULP: sigmoid(x) + sigmoid(-x) = 1.
template <class V>
HALFWAVE_INLINE V logistic_from(V x, const LogisticTail<V>& f) {
  const V tail = f.quotient() * f.u;
  return mirrored(x, tail);
}
template <class V>
HALFWAVE_INLINE V logistic(V x) {
  return logistic_from(x, LogisticTail<V>(abs(x)));
}

// e^-a / (1 + e^-a)^2 times `factor`, a power of two: with z = 1 - uq (= 1/(1 + e^-a)) it is u * q * z, and
// D = 1 - uq - z is what z lost.
template <class V>
HALFWAVE_INLINE V logistic_slope(const LogisticTail<V>& f, typename V::Scalar factor) {
  const V z = fnma(f.u, f.q, V(1));
  const V lost = fnma(f.u, f.q, V(1) - z);
  const V low = fma(f.correction, fma(V(2), z, V(-1)), lost);
  return fma(f.q, z, f.q * low) * (f.u * V(factor));
}

// x * sigmoid(t) for t = a or -a with the sign of x, and m = |x|: max(x, 0) - m * sigmoid(-a). The product m * u is exact,
// and in range where a is below LogisticRange::largest.
template <class V>
HALFWAVE_INLINE V gate(V x, V m, const LogisticTail<V>& f) {
  return max(V(-0.0f), x) - f.times(m);
}

// The derivative of x * sigmoid(t) at t = -a is sigmoid(-a) * (1 - v * sigmoid(a)), with v = -x * dt/dx; at a it is 1 minus
// that. Written as u * q * (b + v*u*q), b = 1 - v, with what each step loses added at the end, for it cancels; v is given as
// v + v_low.
template <class V>
HALFWAVE_INLINE V gate_slope(const LogisticTail<V>& f, V v, V v_low) {
  const V b = V(1) - v;
  const V k = v * f.u;
  const V z = k * f.q;
  const V sum = b + z;
  const V lost = ((V(1) - b) - v) + ((z - (sum - b)) + fms(k, f.q, z));
  const V low = fma(f.correction, sum + z, fma(v_low, fms(f.u, f.q, V(1)), lost));
  return fma(f.q, sum, f.q * low) * f.u;
}

// root + d, |d| < radius: a derivative near its zero, elsewhere `far`.
template <class Root, class V>
HALFWAVE_INLINE V near_root(V x, V far) {
  const V d = x - V(Root::root);
  V value = V(Root::value);
  if constexpr (requires { Root::slope_low; }) value = fma(d, V(Root::slope_low), value);
  return select(abs(d) < V(Root::radius), fma(d, polynomial(d, Root::slope), value), far);
}

}  // namespace
}  // namespace halfwave
