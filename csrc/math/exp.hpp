#pragma once

#include "coefficients.hpp"
#include "polynomial.hpp"

namespace halfwave {
namespace {

// e^x = 2^n * e^r with |r| <= ln2/2. `t` is n + bias plus a constant that puts it into the lowest bits of t's
// significand, from where one shift makes it 2^n.
template <class V>
struct ExpReduction {
  using K = Reduction<typename V::Scalar>;
  V t, n, r;

  explicit HALFWAVE_INLINE ExpReduction(V x) {
    t = fma(x, V(K::log2e), V(K::magic + K::exponent_bias));
    n = t - V(K::magic + K::exponent_bias);
    r = fnma(n, V(K::ln2_low), fnma(n, V(K::ln2_high), x));
  }

  // What the rounding of r left behind.
  HALFWAVE_INLINE V r_low(V x) const {
    const V high = fnma(n, V(K::ln2_high), x);
    return fnma(n, V(K::ln2_low), high - r);
  }
};

// 2^n for an integer n in the range of normal exponents.
template <class V>
HALFWAVE_INLINE V power_of_two(V n) {
  using K = Reduction<typename V::Scalar>;
  return exponent_from_low_bits(n + V(K::magic + K::exponent_bias));
}

// e^r - 1 - r = r^2 * T(r) for |r| <= ln2/2.
template <class V>
HALFWAVE_INLINE V expm1_tail(V r) {
  return (r * r) * polynomial(r, Expm1<typename V::Scalar>::tail);
}

// x clipped to [low, 0], where NaN stays NaN.
template <class V>
HALFWAVE_INLINE V clip_negative(V x, typename V::Scalar low) {
  return max(V(low), min(V(0), x));
}

template <class T>
struct ExpRange;
template <>
struct ExpRange<float> {
  static constexpr float expm1_is_minus_one = -87.0f;  // far beyond -17.4, and 2^n is still normal
  static constexpr float lowest = -194.0f;             // the largest float times e^lowest is 0
};
template <>
struct ExpRange<double> {
  static constexpr double expm1_is_minus_one = -700.0;
  static constexpr double lowest = -1456.0;
};

// e^x - 1 for x <= 0 (0 for x > 0), below 1 ULP; keeps the sign of zero.
template <class V>
HALFWAVE_INLINE V expm1_negative(V x) {
  const ExpReduction<V> e(clip_negative(x, ExpRange<typename V::Scalar>::expm1_is_minus_one));
  const V scale = exponent_from_low_bits(e.t);
  const V v = fma(e.r * e.r, polynomial(e.r, Expm1<typename V::Scalar>::tail), e.r);
  return copysign(fma(scale, v, scale - V(1)), x);
}

// e^x - 1 - x for x <= 0, below 1.5 ULP. With u = 2^n it is (u - 1 - x) + u*r + u*(e^r - 1 - r): the first term is
// exact, the second cancels against it, and the third is never negative.
template <class V>
HALFWAVE_INLINE V expm1_minus_x_negative(V x) {
  const V clipped = clip_negative(x, ExpRange<typename V::Scalar>::expm1_is_minus_one);
  const ExpReduction<V> e(clipped);
  const V u = exponent_from_low_bits(e.t);
  const V linear = fma(u, e.r, (u - V(1)) - clipped);
  const V sum = fma(u, expm1_tail(e.r) + e.r_low(clipped), linear);
  return sum + (clipped - min(V(0), x));
}

// a * e^x for x <= 0, below 2 ULP, for every a: 2^n is applied in three parts, so that neither a large a overflows nor
// a small result is rounded before the last of them.
template <class V>
HALFWAVE_INLINE V times_exp_negative(V a, V x) {
  const ExpReduction<V> e(clip_negative(x, ExpRange<typename V::Scalar>::lowest));
  const V magic = V(Reduction<typename V::Scalar>::magic);
  const V third = fma(e.n, V(1.0f / 3), magic) - magic;
  const V outer = power_of_two(third);
  const V inner = power_of_two(fnma(V(2), third, e.n));
  const V w = V(1) + fma(e.r * e.r, polynomial(e.r, Expm1<typename V::Scalar>::tail), e.r);
  return (((a * outer) * w) * inner) * outer;
}

}  // namespace
}  // namespace halfwave
