#pragma once

#include "coefficients.hpp"
#include "polynomial.hpp"

namespace halfwave {
namespace {

// A function of a in [0, K::largest] by the sixteen polynomials of K, in two parts: what its first two terms lose in rounding
// is in `low`, so that high + low is all but correctly rounded. The distance from a centre is exact. In float alone.
template <class K, class V>
struct Piecewise {
  V high, low;

  explicit HALFWAVE_INLINE Piecewise(V a) {
    const V clipped = min(V(K::largest), a);
    V index = fma(clipped, V(K::steps), V(Reduction<float>::magic));
    if constexpr (K::skipped != 0)
      index = min(index, fma(clipped, V(K::far_steps), V(Reduction<float>::magic + K::skipped)));
    const V d = lookup16(K::tail_centre, index) - clipped;
    const V constant = lookup16(K::tail[0], index), slope = lookup16(K::tail[1], index);
    high = fma(slope, d, constant);
    low = fma(d * d, higher_terms(d, index, K::tail), fma(slope, d, constant - high));
  }

 private:
  // c[2] + c[3] d + …
  template <size_t n>
  static HALFWAVE_INLINE V higher_terms(V d, V index, const float (&c)[n][16]) {
    V sum = lookup16(c[n - 1], index);
#if defined(__clang__)
#pragma clang loop unroll(full)
#elif defined(__GNUC__)
#pragma GCC unroll 32
#endif
    for (size_t i = n - 2; i > 1; --i) sum = fma(sum, d, lookup16(c[i], index));
    return sum;
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
