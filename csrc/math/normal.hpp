#pragma once

#include "coefficients.hpp"
#include "exp.hpp"

namespace halfwave {
namespace {

template <class T>
struct NormalRange;
template <>
struct NormalRange<float> {
  static constexpr float largest = 14.75f;  // t * Phi(-t) is 0 beyond
  static constexpr float exponent_offset = 64, unscale = 0x1p-64f;
};
template <>
struct NormalRange<double> {
  static constexpr double largest = 39;
  static constexpr double exponent_offset = 100, unscale = 0x1p-100;
};

// c[0] + c[1]*x + … in two parts.
template <class V, size_t n>
HALFWAVE_INLINE V polynomial_parts(V x, const typename V::Scalar (&c)[n], V& low) {
  typename V::Scalar higher[n - 1];
  for (size_t i = 0; i + 1 < n; ++i) higher[i] = c[i + 1];
  const V inner = polynomial(x, higher);
  const V high = fma(inner, x, V(c[0]));
  low = fma(inner, x, V(c[0]) - high);
  return high;
}

// The normal distribution at -t, t >= 0. e^(-t^2/2) = u * (1 + v), where u carries a scale that keeps it normal down to the
// last subnormal result. The tail is that times a function of t alone which varies slowly; as a polynomial in
// q = 1/(t + 3) it serves the whole range. `lost` is what the rounding of q changes in q * mills(q), relative to it; it goes
// into the exponent, as does the low word of t^2/2.
template <class V>
struct NormalTail {
  using T = typename V::Scalar;
  using Range = NormalRange<T>;
  using K = NormalTailSeries<T>;
  V t, q, lost, u, v;

  explicit HALFWAVE_INLINE NormalTail(V magnitude, typename V::Scalar sensitivity, bool of_product) {
    t = min(V(Range::largest), magnitude);
    const V half = V(-0.5f) * t;
    const V exponent = half * t;
    const V d = t + V(3), d_low = t - (d - V(3));
    q = V(1) / d;
    const V rounding = fnma(d_low, q, fnma(d, q, V(1)));
    const V relative = of_product ? fma(V(sensitivity), q, V(1)) : V(sensitivity) * q;
    scale(exponent, fma(rounding, relative, fms(half, t, exponent)));
  }

  // factor * q * mills(q) * e^(-t^2/2) / u, where factor * u is exact or `factor` 1.
  HALFWAVE_INLINE V probability(V factor, V correction) const {
    V p_low;
    const V p = polynomial_parts(fnma(V(8), q, V(K::mills_centre)), K::mills, p_low);
    const V z = factor * q;
    const V product = z * p;
    const V low = fma(fms(factor, q, z), p, fma(z, p_low, fms(z, p, product))) + correction;
    return product + fma(product, v, fma(low, v, low));
  }

  // (t - root) * slope(q) * e^(-t^2/2) / u: Phi(-t) - t * phi(t), the derivative of gelu at -t.
  HALFWAVE_INLINE V gelu_slope() const {
    const V d = t - V(K::root_high);
    const V d_low = ((t - d) - V(K::root_high)) - V(K::root_low);
    V w_low;
    const V w = polynomial_parts(fnma(V(8), q, V(K::slope_centre)), K::slope, w_low);
    const V product = d * w;
    const V low = fma(d, w_low, fma(d_low, w, fms(d, w, product)));
    return product + fma(product, v, fma(low, v, low));
  }

 private:
  HALFWAVE_INLINE void scale(V exponent, V exponent_low) {
    using R = Reduction<T>;
    const V shift = V(R::magic + R::exponent_bias + Range::exponent_offset);
    const V y = fma(exponent, V(R::log2e), shift);
    u = exponent_from_low_bits(y);
    const V n = y - shift;
    const V r = fnma(n, V(R::ln2_high), exponent) + fnma(n, V(R::ln2_low), exponent_low);
    v = fma(r * r, polynomial(r, Expm1<T>::tail), r);
  }
};

// e^(-t^2/2) = u * (1 + p) / 2 in float, t = |x|. u is scaled by 2^64, and so normal, until the end, which rounds a subnormal
// result once.
template <class V>
struct NormalDecay {
  V t, u, p;

  explicit HALFWAVE_INLINE NormalDecay(V x) {
    using T = typename V::Scalar;
    using R = Reduction<T>;
    static constexpr auto tail = scaled(Expm1<T>::tail, T(0.25f), T(-0.5f));
    t = min(V(NormalRange<T>::largest), abs(x));
    const V square = t * t, square_low = fms(t, t, square);
    const V shift = V(R::magic + R::exponent_bias + 63);
    const V y = fma(square, V(-R::log2e / 2), shift), n = y - shift;
    const V r = fma(n, V(2 * R::ln2_high), square) + fma(n, V(2 * R::ln2_low), square_low);
    p = r * fma(polynomial(r, tail.c), r, V(-0.5f));
    u = exponent_from_low_bits(y);
  }
  HALFWAVE_INLINE V times(V v) const { return fma(v, p, v) * u; }
};

// x * Phi(x) in float: max(x, 0) - t * Phi(-t), t = |x|. t * erfcx(t / sqrt(2)), which is flat, comes from eight polynomials,
// of which the first is t and a correction; times e^(-t^2/2) it is 2 * t * Phi(-t).
template <class V>
HALFWAVE_INLINE V normal_gate(V x) {
  using K = NormalPieces<typename V::Scalar>;
  const NormalDecay<V> decay(x);
  const V index = half_octave(fma(V(2), decay.t, V(2)));
  const V first = min(decay.t, lookup8(K::gate[0], index));
  const V v = polynomial(decay.t - lookup8(K::gate_centre, index), index, first, K::gate);
  return fma(decay.times(v), V(-0x1p-64f), max(V(-0.0f), x));
}
// Its derivative, below 3 ULP.
template <class V>
HALFWAVE_INLINE V normal_gate_slope(V x) {
  using K = GeluSlope<typename V::Scalar>;
  const NormalDecay<V> decay(x);
  const V index = half_octave(fma(V(3), decay.t, V(3)));
  static constexpr auto first = sums(K::slope[0], K::slope_low[0]);  // the first word is 0 at the zero
  const V v = polynomial(decay.t - lookup8(K::slope_centre, index), index, lookup8(first.c, index), K::slope);
  return mirrored(x, decay.times(v) * V(0x1p-63f));
}

}  // namespace
}  // namespace halfwave
