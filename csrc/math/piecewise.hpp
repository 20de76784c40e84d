#pragma once

#include "coefficients.hpp"
#include "polynomial.hpp"

namespace halfwave {
namespace {

// A function of a in [0, K::largest] by the sixteen polynomials of K, in two parts: what its first two terms lose in
// rounding is in `low`, so that high + low is all but correctly rounded. The distance from a centre is exact. In float alone.
template <class K, class V>
struct Piecewise {
  V high, low;

  explicit HALFWAVE_INLINE Piecewise(V a) {
    const V clipped = min(V(K::largest), a);
    const V index = piece_of(clipped);
    evaluate(lookup(K::tail_centre, index) - clipped, index);
  }

 private:
  static HALFWAVE_INLINE V piece_of(V a) {
    V index = fma(a, V(K::steps), V(Reduction<float>::magic));
    if constexpr (K::skipped != 0) index = min(index, fma(a, V(K::far_steps), V(Reduction<float>::magic + K::skipped)));
    return index;
  }
  HALFWAVE_INLINE void evaluate(V d, V index) {
    if constexpr (requires { K::tail_low; })
      high = linear_parts(d, index, K::tail, K::tail_low, low);
    else
      high = linear_parts(d, index, K::tail, low);
  }
};

// Rarely beyond the pieces, where it is `far`.
template <class K, class V, class Far>
HALFWAVE_INLINE V piecewise(V a, Far far) {
  const Piecewise<K, V> p(a);
  const V near = p.high + p.low;
  const auto rare = a > V(K::largest);
  return any(rare) ? select(rare, far(), near) : near;
}

}  // namespace
}  // namespace halfwave
