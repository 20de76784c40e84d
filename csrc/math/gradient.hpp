// The product of the upstream gradient with a derivative.
#pragma once

#include "../simd/simd.hpp"

namespace halfwave {
namespace {

// The gradient on a flat piece: +0 whatever g is, an infinity included, but NaN stays NaN.
template <class V>
HALFWAVE_INLINE V flat(V g, V x) {
  return select(unordered(g, x), g + x, V(0));
}

template <class V>
HALFWAVE_INLINE V largest_finite() {
  using T = typename V::Scalar;
  return V(T(sizeof(T) == 4 ? 0x1.fffffep127 : 0x1.fffffffffffffp1023));
}

// a * b, where a = 0 wins over an infinite b: a gradient of 0 stays 0, a slope of 0 is 0 times its limit.
template <class V>
HALFWAVE_INLINE V product(V a, V b) {
  const V largest = largest_finite<V>();
  return a * select(a == V(0), max(-largest, min(largest, b)), b);
}

}  // namespace
}  // namespace halfwave
