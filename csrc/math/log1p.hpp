#pragma once

#include "coefficients.hpp"
#include "exp.hpp"

namespace halfwave {
namespace {

// log(1 + e + e_low) for 0 <= e <= 1, below 1 ULP. A reciprocal c of few bits, looked up by e, turns 1 + e into
// c * (1 + e) = 1 + z with |z| < 0.0675, and log(1 + e) = -log(c) + log(1 + z). The logarithm of c stands in three parts, each
// exact in float.
template <class V>
HALFWAVE_INLINE V log1p_unit(V e, V e_low) {
  using T = typename V::Scalar;
  using K = Log1p<T>;
  const V i = fma(e, V(T(7.49)), V(Reduction<T>::magic));
  const V c = lookup8(K::reciprocal, i);
  const V z = fma(c, e, c - V(1));
  const V tail = fma(z * z, polynomial(z, K::tail), c * e_low);
  V rest = lookup8(K::middle, i);
  if constexpr (sizeof(T) == 8) rest = rest + lookup8(K::low, i);
  return lookup8(K::high, i) + (z + (rest + tail));
}

}  // namespace
}  // namespace halfwave
