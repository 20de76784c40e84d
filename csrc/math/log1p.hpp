#pragma once

#include "coefficients.hpp"
#include "exp.hpp"
#include "piecewise.hpp"

namespace halfwave {
namespace {

template <class T>
struct DecayRange;
template <>
struct DecayRange<float> {
  static constexpr float largest = 112;  // (a + 1) * e^-a is 0 beyond
  static constexpr float exponent_offset = 64, unscale = 0x1p-64f;
};
template <>
struct DecayRange<double> {
  static constexpr double largest = 760;
  static constexpr double exponent_offset = 100, unscale = 0x1p-100;
};

// e^-(magnitude + low), magnitude >= 0, in two parts: unscale * (scaled + scaled_low) = value + value_low. Scaled, it keeps
// its digits down to the last subnormal result.
template <class V>
struct Decay {
  V a, scaled, scaled_low, value, value_low;

  HALFWAVE_INLINE Decay(V magnitude, V low) {
    using T = typename V::Scalar;
    using K = Reduction<T>;
    using Range = DecayRange<T>;
    const V shift = V(K::magic + K::exponent_bias + Range::exponent_offset);
    a = min(V(Range::largest), magnitude);
    const V t = fnma(a, V(K::log2e), shift);
    const V u = exponent_from_low_bits(t), n = t - shift;
    const V high = fnma(n, V(K::ln2_high), -a), r_low = fnma(n, V(K::ln2_low), -low), r = high + r_low;
    const V tail = polynomial(r, Expm1<T>::tail);
    if constexpr (sizeof(T) == 4) {
      // high is exact.
      const V higher = fma(r * r, tail, r_low), v = high + higher;
      scaled = fma(u, v, u);
      scaled_low = fma(u, higher, fma(u, high, u - scaled));
    } else {
      const V v = fma(r * r, tail, r);
      scaled = fma(u, v, u);
      scaled_low = fma(u, v, u - scaled);
    }
    value = scaled * V(Range::unscale);
    value_low = scaled_low * V(Range::unscale);
  }
};

// log(1 + e + e_low) = log + near + near_low for 0 <= e <= 1. A reciprocal, looked up by e, turns 1 + e into
// reciprocal * (1 + e) = 1 + z with a small z. It is so chosen that `log`, minus its logarithm, is exact in float; in double
// a second word makes it so.
template <class V>
struct Log1pParts {
  V log, near, near_low;

  HALFWAVE_INLINE Log1pParts(V e, V e_low) {
    using T = typename V::Scalar;
    using K = Log1p<T>;
    const V i = fma(e, V(K::steps), V(Reduction<T>::magic));
    const V reciprocal = lookup8(K::reciprocal, i);
    const V z = fma(reciprocal, e, reciprocal - V(1));
    V low = reciprocal * e_low;
    if constexpr (sizeof(T) == 8) low = low + lookup8(K::log_low, i);
    const V rest = fma(z * z, polynomial(z, K::tail), low);
    log = lookup8(K::log, i);
    near = z + rest;
    near_low = rest - (near - z);
  }
};

// log(1 + e^(t + low)) = max(t, 0) + log(1 + e^-|t|) in two parts, for t <= DecayRange::largest; `negative_low` is the low
// word of -|t|.
template <class V>
struct SoftplusParts {
  V sum, sum_low;

  HALFWAVE_INLINE SoftplusParts(V t, V low, V negative_low) {
    const Decay<V> e(abs(t), -negative_low);
    const Log1pParts<V> p(e.value, e.value_low);
    const auto positive = t > V(0);
    const V linear = select(positive, t, V(0));
    const V far = linear + p.log;
    const V far_low = positive_sum_low(linear, p.log, far) + select(positive, low, V(0));
    sum = far + p.near;
    sum_low = (p.near - (sum - far)) + (p.near_low + far_low);
  }
};

// log(1 + e^x).
template <class V>
HALFWAVE_INLINE V softplus(V x) {
  using T = typename V::Scalar;
  const auto by_formula = [&]() HALFWAVE_INLINE_LAMBDA {
    const SoftplusParts<V> p(x, V(0), V(0));
    return select(x > V(DecayRange<T>::largest), x, p.sum + p.sum_low);
  };
  if constexpr (sizeof(T) == 4) {
    const Piecewise<SoftplusTail<T>, V> tail(abs(x));
    const V linear = max(V(0), x);
    const V sum = linear + tail.high;
    const V near = sum + (positive_sum_low(linear, tail.high, sum) + tail.low);
    const auto rare = abs(x) > V(SoftplusTail<T>::largest);
    return any(rare) ? select(rare, by_formula(), near) : near;
  } else {
    return by_formula();
  }
}

}  // namespace
}  // namespace halfwave
