// What the backward passes, and the piecewise functions, have in common.
#pragma once

#include "../simd/simd.hpp"

namespace halfwave {
namespace {

// The gradient on a flat piece: +0 whatever g is, an infinity included, but NaN stays NaN.
template <class V>
HALFWAVE_INLINE V flat(V g, V x) {
  return select(unordered(g, x), g + x, V(0));
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

// Where a parameter is not its default of 1, with which there is less to compute.
template <class V>
HALFWAVE_INLINE typename V::Mask not_one(V parameter) {
  return (parameter < V(1)) | (parameter > V(1)) | unordered(parameter, parameter);
}
// f(), with g() in its place where the parameter is 1: what a lane holds depends on its own parameter alone.
template <class V, class F, class G>
HALFWAVE_INLINE V unless_one(V parameter, F f, G g) {
  if (!any(not_one(parameter))) return g();
  const V result = f();
  const auto one = parameter == V(1);
  return any(one) ? select(one, g(), result) : result;
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

// NaN where `bound` is NaN, else x: a bound that is not a number makes every comparison with it meaningless.
template <class V>
HALFWAVE_INLINE V nan_from(V bound, V x) {
  return select(unordered(bound, bound), bound, x);
}

// f(x) from its tail f(-|x|), for an f with f(x) + f(-x) = 1.
template <class V>
HALFWAVE_INLINE V mirrored(V x, V tail) {
  return select(x >= V(0), V(1) - tail, tail);
}

// x between low and high, as np.clip; NaN in any of the three stays NaN.
template <class V>
HALFWAVE_INLINE V clip(V x, V low, V high) {
  return nan_from(low, nan_from(high, min(high, max(low, x))));
}

// 1/d in two parts. To multiply by them is as precise as to divide by d. The high part is rounded down to where thrice it is
// exact, so that the low one is positive, and the sign of zero survives.
template <int d, class T>
struct Reciprocal {
  static_assert(d == 3 || d == 6);
  static constexpr T high = T(sizeof(T) == 4 ? 0x1.555554p-3 : 0x1.5555555555554p-3) * (6 / d);
  static constexpr T low = (1 - d * high) / d;
};

// (x + x_low) / d.
template <int d, class V>
HALFWAVE_INLINE V divided_by(V x, V x_low) {
  using K = Reciprocal<d, typename V::Scalar>;
  return fma(x, V(K::high), fma(x, V(K::low), x_low * V(K::high)));
}

}  // namespace
}  // namespace halfwave
