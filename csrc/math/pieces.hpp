// What the backward passes, and the piecewise functions, have in common.
#pragma once

#include "../simd/simd.hpp"

namespace halfwave {
namespace {

// a where the mask is set, else +0. Vectors that have masks of ones and zeros do it by one logic operation, which GCC does not
// find by itself.
template <class V>
HALFWAVE_INLINE V or_zero(typename V::Mask where, V a) {
  return select(where, a, V(0));
}

// The gradient on a flat piece: +0 whatever g is, an infinity included, but NaN stays NaN.
template <class V>
HALFWAVE_INLINE V flat(V g, V x) {
  return or_zero(unordered(g, x), g + x);
}

// g where the function passes it on unchanged, else the gradient of a flat piece.
template <class V>
HALFWAVE_INLINE V pass(typename V::Mask where, V g, V x) {
  return select(where, g, flat(g, x));
}

template <class V>
HALFWAVE_INLINE V largest_finite() {
  using T = typename V::Scalar;
  return V(T(sizeof(T) == 4 ? 0x1.fffffep127 : 0x1.fffffffffffffp1023));
}

// b, made finite where a is 0, so that a * b is 0 there: a gradient of 0 stays 0, a slope of 0 is 0 times its limit.
template <class V>
HALFWAVE_INLINE V finite_for(V a, V b) {
  const V largest = largest_finite<V>();
  return select(a == V(0), max(-largest, min(largest, b)), b);
}
template <class V>
HALFWAVE_INLINE V product(V a, V b) {
  return a * finite_for(a, b);
}

// The gradient g * d where d depends on parameters: it may be infinite, or 0 because the piece is flat. Both are rare.
template <class V>
HALFWAVE_INLINE V gradient(V g, V d) {
  const auto special = (d == V(0)) | (abs(d) > largest_finite<V>());
  if (any(special)) [[unlikely]]
    return select(d == V(0), flat(g, d), product(g, d));
  return g * d;
}

// The gradient g * d where the function is not flat. x is what else may be NaN. Were it not for NaN and for 0 times infinity,
// which is 0, a product and a selection would do.
template <class V>
HALFWAVE_INLINE V gradient_where(typename V::Mask where, V g, V d, V x) {
  const V inner = g * d;
  if (any(unordered(inner, x))) [[unlikely]]
    return select(where, product(g, d), flat(g, x));
  return or_zero(where, inner);
}

// Whether a slope makes a piece of a function anything but flat.
template <class V>
HALFWAVE_INLINE typename V::Mask not_zero(V slope) {
  return (abs(slope) > V(0)) | unordered(slope, slope);
}

// finite_for where `slope` is a parameter, which is seldom 0.
template <class V>
HALFWAVE_INLINE V finite_for_slope(V slope, V x) {
  if (any(slope == V(0))) [[unlikely]]
    return finite_for(slope, x);
  return x;
}
template <class V>
HALFWAVE_INLINE V scaled(V slope, V x) {
  return slope * finite_for_slope(slope, x);
}

// Where a parameter is not its default of 1, with which there is less to compute.
template <class V>
HALFWAVE_INLINE typename V::Mask not_one(V parameter) {
  return (parameter < V(1)) | (parameter > V(1)) | unordered(parameter, parameter);
}
// f(), with g() in its place where the parameter is 1: what a lane holds depends on its own parameter alone.
template <class V, class F, class G>
HALFWAVE_INLINE auto unless_one(V parameter, F f, G g) {
  if (!any(not_one(parameter))) return g();
  const auto result = f();
  const auto one = parameter == V(1);
  return any(one) ? select(one, g(), result) : result;
}

// f(), with g() in its place where `rare` says so.
template <class M, class F, class G>
HALFWAVE_INLINE auto unless(M rare, F f, G g) {
  const auto result = f();
  if (any(rare)) [[unlikely]]
    return select(rare, g(), result);
  return result;
}

// (a + a_low) / b in two parts, or infinite.
template <class V>
HALFWAVE_INLINE V quotient(V a, V a_low, V b, V& low) {
  const V q = a / b;
  low = select(abs(q) <= largest_finite<V>(), (fnma(q, b, a) + a_low) / b, V(0));
  return q;
}

// x clipped to [-range, range], where NaN stays NaN.
template <class V>
HALFWAVE_INLINE V clip_magnitude(V x, typename V::Scalar range) {
  return max(V(-range), min(V(range), x));
}

// a + b - sum, for a, b >= 0 and sum = a + b as rounded.
template <class V>
HALFWAVE_INLINE V positive_sum_low(V a, V b, V sum) {
  return min(a, b) - (sum - max(a, b));
}

// a + b - sum for sum = a + b as rounded, exactly, whichever is larger.
template <class V>
HALFWAVE_INLINE V exact_sum_low(V a, V b, V sum) {
  const V b_in_sum = sum - a;
  return (a - (sum - b_in_sum)) + (b - b_in_sum);
}

// NaN where `bound` is NaN, else x: a bound that is not a number makes every comparison with it meaningless.
template <class V>
HALFWAVE_INLINE V nan_from(V bound, V x) {
  return select(unordered(bound, bound), bound, x);
}

// nan_from where `bound` is a parameter, which is seldom NaN.
template <class V>
HALFWAVE_INLINE V nan_from_parameter(V bound, V x) {
  if (any(unordered(bound, bound))) [[unlikely]]
    return nan_from(bound, x);
  return x;
}

// f(x) from its tail f(-|x|), for an f with f(x) + f(-x) = 1.
template <class V>
HALFWAVE_INLINE V mirrored(V x, V tail) {
  return select(x >= V(0), V(1) - tail, tail);
}

// x between low and high, as np.clip; NaN in any of the three stays NaN.
template <class V>
HALFWAVE_INLINE V clip(V x, V low, V high) {
  return nan_from_parameter(low, nan_from_parameter(high, min(high, max(low, x))));
}

// x/d + 1/2, whose root is at -d/2. 1/d is taken in two parts, for which the high one is short enough that thrice it is
// exact: then the root is exact, and either part vanishes there.
template <int d, class V>
HALFWAVE_INLINE V ratio_plus_half(V x) {
  static_assert(d == 3 || d == 6);
  using T = typename V::Scalar;
  constexpr T high = T(sizeof(T) == 4 ? 0x1.555554p-3 : 0x1.5555555555554p-3) * (6 / d), low = (1 - d * high) / d;
  return fma(x + V(T(d) / 2), V(low), fma(x, V(high), V(high * d / 2)));
}

}  // namespace
}  // namespace halfwave
