#pragma once

#include "coefficients_more.hpp"
#include "exp.hpp"

namespace halfwave {
namespace {

// log(1 + e + e_low) for 0 <= e <= 1, below 1 ULP. A reciprocal c of few bits, looked up by e, turns 1 + e into
// c * (1 + e) = 1 + z with |z| < 0.0675, and log(1 + e) = -log(c) + log(1 + z). The logarithm of c stands in three parts, each
// exact in float.
template <class V>
HALFWAVE_INLINE V log1p_unit(V e, V e_low) {
  using T = typename V::Scalar;
  static constexpr float reciprocal[8] = {0x1p+0f, 0x1.c4p-1f, 0x1.94p-1f, 0x1.6ep-1f, 0x1.4ep-1f, 0x1.34p-1f, 0x1.1cp-1f, 0x1.08p-1f};
  static constexpr float high[8] = {0, 0x1.fe9p-4f, 0x1.e53p-3f, 0x1.57cp-2f, 0x1.b57p-2f, 0x1.0436p-1f, 0x1.2dcp-1f, 0x1.5322p-1f};
  static constexpr float middle[8] = {0, -0x1.bb189p-18f, 0x1.dffce2p-20f, -0x1.1586e6p-19f, -0x1.7eee76p-20f, 0x1.7cec08p-22f, -0x1.5509e4p-18f, 0x1.c4d0dp-18f};
  static constexpr float low[8] = {0, -0x1.54d35ap-43f, 0x1.212276p-51f, 0x1.fadedep-46f, 0x1.095252p-46f, -0x1.4c45fep-47f, -0x1.7a6e5p-46f, -0x1.ea333cp-43f};
  const V i = fma(e, V(T(7.49)), V(Reduction<T>::magic));
  const V c = lookup8(reciprocal, i);
  const V z = fma(c, e, c - V(1));
  const V tail = fma(z * z, polynomial(z, Log1p<T>::tail), c * e_low);
  V rest = lookup8(middle, i);
  if constexpr (sizeof(T) == 8) rest = rest + lookup8(low, i);
  return lookup8(high, i) + (z + (rest + tail));
}

}  // namespace
}  // namespace halfwave
