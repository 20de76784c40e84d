#pragma once

#include "coefficients.hpp"
#include "pieces.hpp"
#include "polynomial.hpp"

namespace halfwave {
namespace {

// e^x = 2^n * e^r with |r| <= ln2/2. `t` is n + bias plus a constant that puts it into the lowest bits of t's
// significand, from where one shift makes it 2^n.
template <class V>
struct ExpReduction {
  using K = Reduction<typename V::Scalar>;
  V t, n, r, r_low;  // r_low is what the rounding of r lost

  explicit HALFWAVE_INLINE ExpReduction(V x) {
    t = fma(x, V(K::log2e), V(K::magic + K::exponent_bias));
    n = t - V(K::magic + K::exponent_bias);
    const V high = fnma(n, V(K::ln2_high), x);
    r = fnma(n, V(K::ln2_low), high);
    r_low = fnma(n, V(K::ln2_low), high - r);
  }

  // e^r - 1. In double, r_low is worth its cost: without it, expm1 is off by 1.5 ULP, and a multiple of it by more than 2.
  HALFWAVE_INLINE V expm1() const {
    const V tail = polynomial(r, Expm1<typename V::Scalar>::tail);
    if constexpr (sizeof(typename V::Scalar) == 8)
      return r + fma(r * r, tail, r_low);
    else
      return fma(r * r, tail, r);
  }
};

// 2^n for an integer n in the range of normal exponents.
template <class V>
HALFWAVE_INLINE V power_of_two(V n) {
  using K = Reduction<typename V::Scalar>;
  return exponent_from_low_bits(n + V(K::magic + K::exponent_bias));
}

template <class T>
struct ExpRange;
template <>
struct ExpRange<float> {
  static constexpr float normal = 87.0f;  // 2^n is normal up to here; expm1 is -1 long before
  static constexpr float any = 194.0f;    // beyond, a * e^x is 0 or infinite for every a
};
template <>
struct ExpRange<double> {
  static constexpr double normal = 700.0;
  static constexpr double any = 1456.0;
};

// e^x - 1 up to where e^x is about to overflow, below 1 ULP for x <= 0; keeps the sign of zero.
template <class V>
HALFWAVE_INLINE V expm1(V x) {
  const ExpReduction<V> e(clip_magnitude(x, ExpRange<typename V::Scalar>::normal));
  const V scale = exponent_from_low_bits(e.t);
  return copysign(fma(scale, e.expm1(), scale - V(1)), x);
}

// e^x - 1 - x in the same range, in two parts. With u = 2^n it is (u - 1 - x) + u*r + u*(e^r - 1 - r): the first term is
// exact, the second cancels against it for x < 0, and the third is never negative.
template <class V>
HALFWAVE_INLINE V expm1_minus_x(V x, V& low) {
  const V clipped = clip_magnitude(x, ExpRange<typename V::Scalar>::normal);
  const ExpReduction<V> e(clipped);
  const V u = exponent_from_low_bits(e.t);
  const V exact = (u - V(1)) - clipped;
  const V linear = fma(u, e.r, exact);
  const V linear_low = fma(u, e.r, exact - linear);
  const V square = e.r * e.r, square_low = fms(e.r, e.r, square);
  const V series = polynomial(e.r, Expm1<typename V::Scalar>::tail);
  const V tail = fma(square, series, fma(square_low, series, e.r_low));
  const V high = fma(u, tail, linear);
  low = fma(u, tail, linear - high) + linear_low;
  return high + (clipped - x);
}

// e^x = u + u*r*p.
template <class V>
struct Exp {
  static constexpr typename V::Scalar lowest = sizeof(typename V::Scalar) == 4 ? -70 : -680;
  ExpReduction<V> e;
  V u, p;

  explicit HALFWAVE_INLINE Exp(V x) : e(x) {
    u = exponent_from_low_bits(e.t);
    p = fma(polynomial(e.r, Expm1<typename V::Scalar>::tail), e.r, V(1));
  }
  // For `lowest` < x <= 0, below 1 ULP.
  HALFWAVE_INLINE V value() const { return fma(u * e.r, p, u); }
  // a * e^(x + x_low) + b in that range, below 1 ULP, for an a that is not so small that the product may be subnormal.
  HALFWAVE_INLINE V times(V a, V x_low, V b = V(0)) const { return scaled(a * u, x_low, b); }

  // The same for any x. The power of two is applied in three parts, so that neither a large a overflows nor a small result
  // is rounded before the last multiplication.
  static HALFWAVE_INLINE V extreme(V a, V x, V x_low) {
    using K = Reduction<typename V::Scalar>;
    const Exp exp(clip_magnitude(x, ExpRange<typename V::Scalar>::any));
    const V third = fma(exp.e.n, V(1.0f / 3), V(K::magic)) - V(K::magic);
    const V outer = power_of_two(third);
    const V inner = power_of_two(fnma(V(2), third, exp.e.n));
    return (exp.scaled(a * outer, x_low, V(0)) * inner) * outer;
  }

 private:
  HALFWAVE_INLINE V scaled(V factor, V x_low, V b) const {
    const V high = fma(e.r, p, V(1));
    const V low = fma(x_low, high, fma(e.r, p, V(1) - high));
    return fma(factor, high, fma(factor, low, b));
  }
};

// a * e^(x + x_low), below 2 ULP. Where 2^n is no normal number it is applied in three parts, so that neither a large a
// overflows nor a small result is rounded before the last multiplication; that is rare, and costs nothing where no lane
// asks for it.
template <class V>
HALFWAVE_INLINE V times_exp(V a, V x, V x_low = V(0)) {
  using K = Reduction<typename V::Scalar>;
  const ExpReduction<V> e(clip_magnitude(x, ExpRange<typename V::Scalar>::any));
  const V v = e.expm1();
  const V w = V(1) + (v + fma(x_low, v, x_low));
  const V near = a * (w * exponent_from_low_bits(e.t));
  const auto far = abs(e.n) > V(K::exponent_bias - 2);
  if (!any(far)) return near;
  const V third = fma(e.n, V(1.0f / 3), V(K::magic)) - V(K::magic);
  const V outer = power_of_two(third);
  const V inner = power_of_two(fnma(V(2), third, e.n));
  return select(far, (((a * outer) * w) * inner) * outer, near);
}

// The product of a parameter and x in two parts, clipped to where e^t is neither 0 nor infinite for any factor; 0 * inf
// is 0.
template <class V>
struct Exponent {
  V t, low;
  HALFWAVE_INLINE Exponent(V factor, V x) {
    t = factor * x;
    low = fms(factor, x, t);
    if (any(unsafe(t))) [[unlikely]] {
      const V range = V(ExpRange<typename V::Scalar>::any);
      const V finite = finite_for(factor, x);
      const V exact = factor * finite;
      t = max(-range, min(range, exact));
      low = select(abs(exact) < range, fms(factor, finite, exact), V(0));
    }
  }
  HALFWAVE_INLINE V magnitude() const { return abs(t); }
  // |t + low| = magnitude + magnitude_low
  HALFWAVE_INLINE V magnitude_low() const { return times_sign(low, t); }

 private:
  // Whether t is beyond the range, or no number.
  static HALFWAVE_INLINE auto unsafe(V t) {
    const V distance = V(ExpRange<typename V::Scalar>::any) - abs(t);
    return unordered(distance, distance) | (distance <= V(0));
  }
};

// e^-s = u * (1 - linear - higher) in float, s >= 0, where u carries a scale that keeps it normal down to the last subnormal
// result, which the final multiplication by `unscale` then rounds once. `linear` is exact.
template <class V>
struct ScaledDecay {
  static constexpr float unscale = 0x1p-64f;
  V u, r, series, linear, higher;

  // s = a * b
  HALFWAVE_INLINE ScaledDecay(V a, V b) { reduce(a * b, fms(a, b, a * b)); }
  // s = a * b + c * d, where the second term is small.
  HALFWAVE_INLINE ScaledDecay(V a, V b, V c, V d) { reduce(a * b, fma(c, d, fms(a, b, a * b))); }

  // (high + low) * e^-s / unscale
  HALFWAVE_INLINE V times(V high, V low) const {
    const V first = fnma(high, linear, high), first_low = fnma(high, linear, high - first);
    return (first + fnma(high + low, higher, fnma(low, linear, low + first_low))) * u;
  }
  // e^-s = u * (1 + p) * unscale where speed matters more.
  HALFWAVE_INLINE V p() const { return r * fms(series, r, V(1)); }

 private:
  HALFWAVE_INLINE void reduce(V s, V s_low) {
    using R = Reduction<float>;
    static constexpr auto tail = scaled(Expm1<float>::tail, 1.0f, -1.0f);
    const V shift = V(R::magic + R::exponent_bias + 64);
    const V y = fnma(s, V(R::log2e), shift), n = y - shift;
    u = exponent_from_low_bits(y);
    linear = fma(n, V(R::ln2_high), s);
    const V low = fma(n, V(R::ln2_low), s_low);
    r = linear + low;
    series = polynomial(r, tail.c);
    higher = fnma(r * r, series, low);
  }
};

}  // namespace
}  // namespace halfwave
