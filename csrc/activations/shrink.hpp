// Zero on one side of a threshold, or between two.
#pragma once

#include "../math/pieces.hpp"
#include "../math/tanh.hpp"
#include "info.hpp"

namespace halfwave::activations {
namespace {

struct Threshold {
  static constexpr Info info{
      .name = "threshold",
      .title = "Identity above a threshold, a constant elsewhere.",
      .formula = "x if x > threshold else value",
      .derivative = "1 if x > threshold else 0",
      .kink = "The inequality is strict: x = threshold gives value, and the derivative 0.",
      .source = "R. Collobert, K. Kavukcuoglu and C. Farabet, Torch7, 2011.",
      .keeps_integers = true,
      .parameters = {{.name = "threshold", .meaning = "border, any real number", .required = true},
                     {.name = "value", .meaning = "output at and below the border, any real number", .required = true}},
      .from_output_domain = {"value must be <= threshold: only then does y tell the piece",
                             [](const double* p) { return !(p[1] > p[0]); }},
      .from_output = "1 if y > threshold else 0, the same as from x",
  };
  static constexpr int unroll = 4;

  template <class V>
  static HALFWAVE_INLINE V forward(V x, V border, V value) {
    return select(x > border, x, nan_from(border, nan_from(x, value)));
  }
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x, V border, V) {
    return pass(x > border, g, nan_from(border, x));
  }
  template <class V>
  static HALFWAVE_INLINE V backward_from_output(V g, V y, V border, V value) {
    return backward(g, y, border, value);
  }
  template <class V>
  static HALFWAVE_INLINE void parameter_terms(V* terms, V g, V x, V border, V) {
    terms[0] = flat(g, nan_from(border, x));
    terms[1] = pass(x <= border, g, nan_from(border, x));
  }
};

struct ThresholdedRelu {
  static constexpr Info info{
      .name = "thresholded_relu",
      .title = "Identity above a threshold, 0 elsewhere.",
      .formula = "x if x > theta else 0",
      .derivative = "1 if x > theta else 0",
      .kink = "The inequality is strict: x = theta gives 0, and the derivative 0.",
      .source = "K. Konda, R. Memisevic and D. Krueger, Zero-bias autoencoders and the benefits of co-adapting "
                "features, 2014, "
                "arXiv:1402.3337.",
      .keeps_integers = true,
      .parameters = {{.name = "theta", .meaning = "border, any real number", .value = 1.0}},
      .from_output_domain = {"theta must be >= 0: only then does y tell the piece",
                             [](const double* p) { return !(p[0] < 0); }},
      .from_output = "1 if y > theta else 0, the same as from x",
  };
  static constexpr int unroll = 4;

  template <class V>
  static HALFWAVE_INLINE V forward(V x, V theta) {
    return Threshold::forward(x, theta, V(0));
  }
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x, V theta) {
    return Threshold::backward(g, x, theta, V(0));
  }
  template <class V>
  static HALFWAVE_INLINE V backward_from_output(V g, V y, V theta) {
    return backward(g, y, theta);
  }
};

// +0 for what lies in the dead zone of a shrink, but for zeros, which keep their sign; NaN stays NaN.
template <class V>
HALFWAVE_INLINE V dead(V x, V lambda) {
  return nan_from(lambda, select(abs(x) > V(0), V(0), x));
}

constexpr Condition lambd_not_negative = {"lambd must be >= 0", [](const double* p) { return !(p[0] < 0); }};

struct SoftShrink {
  static constexpr Info info{
      .name = "softshrink",
      .title = "Soft thresholding: moves x towards 0 by lambd, and to 0 what is closer.",
      .formula = "sign(x) * max(abs(x) - lambd, 0)",
      .derivative = "1 if abs(x) > lambd else 0",
      .kink = "The derivative at -lambd and at lambd is 0.",
      .source = "D. L. Donoho, De-noising by soft-thresholding, IEEE Transactions on Information Theory 41, 1995.",
      .parameters = {{.name = "lambd", .meaning = "distance, >= 0", .value = 0.5}},
      .domain = lambd_not_negative,
      .from_output_domain = lambd_not_negative,
      .from_output = "1 if y != 0 else 0, the same as from x",
      .forward = {0.5, 0.5},
  };
  static constexpr int unroll = 4;

  template <class V>
  static HALFWAVE_INLINE V forward(V x, V lambda) {
    return select(abs(x) > lambda, x - copysign(lambda, x), select(unordered(x, x), x, dead(x, lambda)));
  }
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x, V lambda) {
    return pass(abs(x) > lambda, g, nan_from(lambda, x));
  }
  template <class V>
  static HALFWAVE_INLINE V backward_from_output(V g, V y, V lambda) {
    return nan_from(lambda, pass(abs(y) > V(0), g, y));
  }
  template <class V>
  static HALFWAVE_INLINE void parameter_terms(V* terms, V g, V x, V lambda) {
    terms[0] = select(abs(x) > lambda, select(x > V(0), -g, g), flat(g, nan_from(lambda, x)));
  }
};

struct HardShrink {
  static constexpr Info info{
      .name = "hardshrink",
      .title = "Hard thresholding: 0 for what is closer to 0 than lambd.",
      .formula = "x if abs(x) > lambd else 0",
      .derivative = "1 if abs(x) > lambd else 0",
      .kink = "The inequality is strict: x = lambd gives 0, and the derivative 0.",
      .source = "D. L. Donoho and I. M. Johnstone, Ideal spatial adaptation by wavelet shrinkage, Biometrika 81, 1994.",
      .parameters = {{.name = "lambd", .meaning = "largest magnitude that is set to 0, >= 0", .value = 0.5}},
      .domain = lambd_not_negative,
      .from_output_domain = lambd_not_negative,
      .from_output = "1 if y != 0 else 0, the same as from x",
  };
  static constexpr int unroll = 4;

  template <class V>
  static HALFWAVE_INLINE V forward(V x, V lambda) {
    return select(abs(x) > lambda, x, select(unordered(x, x), x, dead(x, lambda)));
  }
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x, V lambda) {
    return SoftShrink::backward(g, x, lambda);
  }
  template <class V>
  static HALFWAVE_INLINE V backward_from_output(V g, V y, V lambda) {
    return SoftShrink::backward_from_output(g, y, lambda);
  }
};

struct TanhShrink {
  static constexpr Info info{
      .name = "tanhshrink",
      .title = "What the hyperbolic tangent leaves.",
      .formula = "x - tanh(x)",
      .derivative = "tanh(x)**2",
      .source = "R. Collobert, K. Kavukcuoglu and C. Farabet, Torch7, 2011.",
      .forward = {2, 2},
      .backward = {2, 2},
  };

  // a - tanh(a) and tanh(a), for a = |x|, each in two parts. Up to 7/8 the difference is a polynomial, for there it cancels;
  // beyond, a - rough is exact.
  template <class V>
  struct Parts {
    V shrink, tanh, tanh_low;
    explicit HALFWAVE_INLINE Parts(V x) {
      using K = TanhShrinkSeries<typename V::Scalar>;
      const V a = abs(x);
      const V z = a * a, z_low = fms(a, a, z);
      const V cube = a * z, cube_low = fma(a, z_low, fms(a, z, cube));
      const V falling = z * polynomial(z, K::higher);
      const V p = V(K::cubic) + falling;
      const V p_low = falling - (p - V(K::cubic));
      const V near = fma(cube, p, fma(cube, p_low, cube_low * p));
      const HyperbolicTangent<V> t(x);
      const auto small = a < V(K::border);
      const V large = select(small, a, t.rough), rest = select(small, -near, t.fine);
      shrink = select(small, near, (a - t.rough) - t.fine);
      tanh = large + rest;
      tanh_low = (large - tanh) + rest;
    }
  };

  template <class V>
  static HALFWAVE_INLINE V forward(V x) {
    return copysign(Parts<V>(x).shrink, x);
  }
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x) {
    const Parts<V> p(x);
    return g * fma(p.tanh, p.tanh, V(2) * p.tanh * p.tanh_low);
  }
};

}  // namespace
}  // namespace halfwave::activations
