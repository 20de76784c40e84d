// What second derivatives have in common. They are computed in double, whatever the data are.
#pragma once

#include "logistic.hpp"
#include "pieces.hpp"
#include "tanh.hpp"
#include "wide.hpp"

namespace halfwave {
namespace {

// The second derivative of a piecewise linear function, the first of whose parameters are so many bounds: 0, but NaN where
// x or a bound is NaN. All functions of as many bounds and parameters share it.
template <int bounds>
struct Linear {
  template <class... Parameters>
  static HALFWAVE_INLINE Wide second_derivative(Wide x, Parameters... parameters) {
    const Wide given[] = {x, parameters...};
    Wide nan = x;
    for (int k = 1; k <= bounds; ++k) nan = nan_from(given[k], nan);
    return flat(nan, nan);
  }
};

// `value` where the function is curved, and 0 on its other pieces.
HALFWAVE_INLINE Wide curved(Wide::Mask where, Wide value, Wide x) { return select(where, value, flat(x, x)); }

// `near`, but far out, where sigmoid'(a) is e^-a, factor * e^-(a + low): sigmoid' may vanish in double where the product with
// a large factor does not, and a subnormal product is to be rounded once.
HALFWAVE_INLINE Wide with_tail(Wide near, Wide factor, Wide a, Wide low) {
  const auto far = a > Wide(40);
  if (any(far)) [[unlikely]]
    return select(far, times_exp(factor, -a, -low), near);
  return near;
}

// factor * sigmoid'(a + low), a >= 0.
HALFWAVE_INLINE Wide times_logistic_slope(Wide factor, Wide a, Wide low) {
  return with_tail(factor * logistic_slope(LogisticTail<Wide>(a, low), 1), factor, a, low);
}

// factor * sigmoid''(2x) = -factor * tanh(x) * sigmoid'(2x)
HALFWAVE_INLINE Wide logistic_curvature(double factor, Wide x) {
  return times_logistic_slope(Wide(-factor) * hyperbolic_tangent(x), abs(x + x), Wide(0));
}

// factor + factor_low times the second derivative of t * sigmoid(t) at t = a + low, 0 <= a < inf. It is even in t, and
//
//   sigmoid'(t) * (2 - t * tanh(t/2)) = sigmoid'(t) * (2 - t + 2t * sigmoid(-t)).
HALFWAVE_INLINE Wide gate_curvature(Wide factor, Wide factor_low, Wide a, Wide low) {
  using Root = SiluSecondDerivativeRoot<double>;
  const LogisticTail<Wide> f(a, low);
  const Wide linear = Wide(2) - a;
  const Wide rising = fma(a + a, f.quotient() * f.u, ((Wide(2) - linear) - a) - low);
  const Wide bracket = linear + rising, bracket_low = rising - (bracket - linear);
  const Wide slope = logistic_slope(f, 1);
  const Wide steep = factor * slope, steep_low = fma(factor_low, slope, fms(factor, slope, steep));
  const Wide ordinary = fma(steep, bracket, fma(steep_low, bracket, steep * bracket_low));
  const Wide expansion = near_root<Root>(a, low, Wide(0));
  const auto close = abs(a - Wide(Root::root)) < Wide(Root::radius);
  const Wide near = select(close, fma(factor, expansion, factor_low * expansion), ordinary);
  return with_tail(near, factor * bracket, a, low);
}

}  // namespace
}  // namespace halfwave
