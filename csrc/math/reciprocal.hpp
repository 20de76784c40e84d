#pragma once

#include "../simd/simd.hpp"

namespace halfwave {
namespace {

// 1/t to within 2^-12.9 for a positive t whose reciprocal is a normal number: faster than a division, and without the unit
// that a square root occupies. To subtract the bits of t from a constant negates its exponent, which gives 1/t within
// 2^-4.3; a step of Halley's cubes that.
template <class V>
HALFWAVE_INLINE V rough_reciprocal(V t) {
  const V from = sizeof(typename V::Scalar) == 4 ? V(0x1.e6238ep126f) : V(0x1.e6238502484bap1022);
  const V guess = bits_difference(from, t);
  const V error = fnma(t, guess, V(1));
  return fma(guess, fma(error, error, error), guess);
}

// The same to half the digits of the type, so that one step of Newton's gives the others.
template <class V>
HALFWAVE_INLINE V half_precise_reciprocal(V t) {
  const V r = rough_reciprocal(t);
  if constexpr (sizeof(typename V::Scalar) == 4) return r;
  const V error = fnma(t, r, V(1));
  return fma(r, fma(error, error, error), r);
}

}  // namespace
}  // namespace halfwave
