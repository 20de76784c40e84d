// What second derivatives have in common. Those that are templates are computed in the type of the data; those of `Wide`
// alone in double, whatever the data are.
#pragma once

#include "logistic.hpp"
#include "pieces.hpp"
#include "wide.hpp"

namespace halfwave {
namespace {

// The second derivative of a piecewise linear function, the first of whose parameters are so many bounds: 0, but NaN where
// x or a bound is NaN. All functions of as many bounds and parameters share it.
template <int bounds>
struct Linear {
  template <class V, class... Parameters>
  static HALFWAVE_INLINE V second_derivative(V x, Parameters... parameters) {
    const V given[] = {x, parameters...};
    V nan = x;
    for (int k = 1; k <= bounds; ++k) nan = nan_from(given[k], nan);
    return flat(nan, nan);
  }
};

// `value` where the function is curved, and 0 on its other pieces.
template <class V>
HALFWAVE_INLINE V curved(typename V::Mask where, V value, V x) {
  return select(where, value, flat(x, x));
}

// `near`, but far out, where sigmoid'(a) is e^-a, factor * e^-(a + low): sigmoid' may vanish where its product with a large
// factor does not, and a subnormal product is to be rounded once.
template <class V>
HALFWAVE_INLINE V with_tail(V near, V factor, V a, V low) {
  const auto far = a > V(40);
  if (any(far)) [[unlikely]]
    return select(far, times_exp(factor, -a, -low), near);
  return near;
}

// factor * sigmoid'(a + low), a >= 0.
template <class V>
HALFWAVE_INLINE V times_logistic_slope(V factor, V a, V low) {
  return with_tail(factor * logistic_slope(LogisticTail<V>(a, low), 1), factor, a, low);
}

// factor * sigmoid''(x) = -factor * tanh(x/2) * sigmoid'(x), factor a power of two. With the names of LogisticTail, tanh(a/2)
// is (s - 2u) / s, and what its numerator loses is the rounding of s_low.
template <class V>
HALFWAVE_INLINE V logistic_curvature(typename V::Scalar factor, V x) {
  const V a = abs(x);
  const LogisticTail<V> f(a);
  const V numerator = fnma(V(2), f.u, f.s) + f.s_low;
  const V tanh = numerator * f.q, tanh_low = fma(tanh, f.correction, fms(numerator, f.q, tanh));
  const V slope = logistic_slope(f, -factor);
  return times_sign(with_tail(fma(slope, tanh_low, slope * tanh), V(-factor) * tanh, a, V(0)), x);
}

// factor + factor_low times the second derivative of t * sigmoid(t) at t = a + low, 0 <= a < inf. It is even in t, and
//
//   sigmoid'(t) * (2 - t * tanh(t/2)) = sigmoid'(t) * (2 - t + 2t * sigmoid(-t)).
template <class V>
HALFWAVE_INLINE V gate_curvature(V factor, V factor_low, V a, V low) {
  using Root = SiluSecondDerivativeRoot<typename V::Scalar>;
  const LogisticTail<V> f(a, low);
  const V linear = V(2) - a;
  const V rising = fma(a + a, f.quotient() * f.u, ((V(2) - linear) - a) - low);
  const V bracket = linear + rising, bracket_low = rising - (bracket - linear);
  const V slope = logistic_slope(f, 1);
  const V steep = factor * slope, steep_low = fma(factor_low, slope, fms(factor, slope, steep));
  const V ordinary = fma(steep, bracket, fma(steep_low, bracket, steep * bracket_low));
  const V expansion = near_root<Root>(a, low, V(0));
  const auto close = abs(a - V(Root::root)) < V(Root::radius);
  const V near = select(close, fma(factor, expansion, factor_low * expansion), ordinary);
  return with_tail(near, factor * bracket, a, low);
}

}  // namespace
}  // namespace halfwave
