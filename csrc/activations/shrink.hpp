// Zero on one side of a threshold, or between two.
#pragma once

#include "../math/curvature.hpp"
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
                     {.name = "value",
                      .meaning = "output at and below the border, any real number",
                      .required = true,
                      .is_result = true}},
      .from_output_domain = {"value must be <= threshold: only then does y tell the piece",
                             [](const double* p) { return !(p[1] > p[0]); }},
      .from_output = "1 if y > threshold else 0, the same as from x",
      .backward = {0, 0, Doubt::not_rounded},
      .backward_from_output = {0, 0, Doubt::not_rounded},
  };
  static constexpr int unroll = 4;

  template <class V>
  static HALFWAVE_INLINE V forward(V x, V border, V value) {
    return select(x > border, x, nan_from_parameter(border, nan_from(x, value)));
  }
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x, V border, V) {
    return pass(x > border, g, nan_from_parameter(border, x));
  }
  template <class V>
  static HALFWAVE_INLINE V backward_from_output(V g, V y, V border, V value) {
    return backward(g, y, border, value);
  }
  template <class V>
  static HALFWAVE_INLINE void parameter_terms(V* terms, V g, V x, V border, V) {
    terms[0] = flat(g, nan_from_parameter(border, x));
    terms[1] = pass(x <= border, g, nan_from_parameter(border, x));
  }
  using Curvature = Linear<1>;
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
      .forward = {0, 0, Doubt::not_rounded},
      .backward = {0, 0, Doubt::not_rounded},
      .backward_from_output = {0, 0, Doubt::not_rounded},
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
  using Curvature = Linear<1>;
};

// +0 for what lies in the dead zone of a shrink, but for zeros, which keep their sign; NaN stays NaN.
template <class V>
HALFWAVE_INLINE V dead(V x) {
  return min(V(0), max(V(0), x));
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
      .forward = {0.5, 0.5, Doubt::never},
      .backward = {0, 0, Doubt::not_rounded},
      .backward_from_output = {0, 0, Doubt::not_rounded},
  };
  static constexpr int unroll = 4;

  template <class V>
  static HALFWAVE_INLINE V forward(V x, V lambda) {
    // In the dead zone x - x, and -0 - (+0) for -0. Not so if lambda is infinite, or an array's element out of range.
    if (any((lambda < V(0)) | unordered(lambda - lambda, lambda))) [[unlikely]]
      return nan_from_parameter(lambda, select(abs(x) > max(V(0), lambda), x - times_sign(lambda, x), dead(x)));
    return x - (max(-lambda, min(lambda, x)) + V(0));
  }
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x, V lambda) {
    return pass(abs(x) > lambda, g, nan_from_parameter(lambda, x));
  }
  template <class V>
  static HALFWAVE_INLINE V backward_from_output(V g, V y, V lambda) {
    return nan_from_parameter(lambda, pass(abs(y) > V(0), g, y));
  }
  template <class V>
  static HALFWAVE_INLINE void parameter_terms(V* terms, V g, V x, V lambda) {
    terms[0] = select(abs(x) > lambda, select(x > V(0), -g, g), flat(g, nan_from_parameter(lambda, x)));
  }
  using Curvature = Linear<1>;
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
      .forward = {0, 0, Doubt::not_rounded},
      .backward = {0, 0, Doubt::not_rounded},
      .backward_from_output = {0, 0, Doubt::not_rounded},
  };
  static constexpr int unroll = 4;

  template <class V>
  static HALFWAVE_INLINE V forward(V x, V lambda) {
    return nan_from_parameter(lambda, select((abs(x) > V(0)) & (abs(x) <= lambda), V(0), x));
  }
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x, V lambda) {
    return SoftShrink::backward(g, x, lambda);
  }
  template <class V>
  static HALFWAVE_INLINE V backward_from_output(V g, V y, V lambda) {
    return SoftShrink::backward_from_output(g, y, lambda);
  }
  using Curvature = Linear<1>;
};

struct TanhShrink {
  static constexpr Info info{
      .name = "tanhshrink",
      .title = "What the hyperbolic tangent leaves.",
      .formula = "x - tanh(x)",
      .derivative = "tanh(x)**2",
      .curvature = "2 * tanh(x) * (1 - tanh(x)**2)",
      .source = "R. Collobert, K. Kavukcuoglu and C. Farabet, Torch7, 2011.",
      .forward = {1.75f, 2, Doubt::near_normal_midpoints, Doubt::never},
      .backward = {1, 1.5, Doubt::at_normal_midpoints, Doubt::beyond_range},
      .second_derivative = {2.5, 3, Doubt::beyond_range_away},
  };

  // tanh(a) for a = |x| in double, in two parts. As far as a = 0.45, n is 0 and tanh(a) is tanh(p) = p - p * deviation. Beyond,
  // it is rough + fine by HyperbolicTangent's formula, with rough values so close that |fine| <= 0.7 * (a - tanh(a)), and
  // tanh(p) kept as p_high + rest, for its rounding would be too much. The roundings of the quotient then cost the
  // difference 1.6 ULP at most.
  template <class V>
  struct Parts {
    V n, p, z, tail, deviation;
    V rough, fine;

    explicit HALFWAVE_INLINE Parts(V magnitude) {
      using T = typename V::Scalar;
      using K = Reduction<T>;
      static constexpr float distance_to_one[8] = {145 / 256.0f, 139 / 256.0f, 131 / 256.0f, 120 / 256.0f,
                                                   106 / 256.0f, 88 / 256.0f,  68 / 256.0f,  0.0f};
      const V a = min(V(TanhRange<T>::is_one), magnitude);
      const V zero = V(K::magic + K::exponent_bias);
      const V t2 = max(zero, fma(a, V(2 * K::log2e), V(-0.8f)) + zero);
      const V u = exponent_from_low_bits(t2);
      n = t2 - zero;
      const V p_high = fnma(n, V(K::ln2_high / 2), a);
      p = fnma(n, V(K::ln2_low / 2), p_high);
      z = p * p;
      tail = polynomial(z, TanhShrinkSeries<T>::tail);
      deviation = z * tail;
      const V rest = fnma(n, V(K::ln2_low / 2), -(p * deviation));
      const V g = lookup8(distance_to_one, half_octave(min(V(31), fma(a, V(34), V(-13.3f)))));
      const V h = V(2) - g, sum = fma(u, g, h);
      rough = V(1) - g;
      fine = fma(rest, sum, fma(p_high, sum, fms(u, g, h))) / fma(p_high + rest, u - V(1), u + V(1));
    }
    HALFWAVE_INLINE typename V::Mask small() const { return n < V(1); }

    // magnitude - tanh(magnitude)
    HALFWAVE_INLINE V shrink(V magnitude) const {
      const V deviation_low = fma(fms(p, p, z), tail, fms(z, tail, deviation));
      return select(small(), fma(p, deviation, p * deviation_low), (magnitude - rough) - fine);
    }
    // tanh(magnitude)^2
    HALFWAVE_INLINE V square() const {
      const V large = select(small(), p, rough), rest = select(small(), -(p * deviation), fine);
      const V tanh = large + rest, low = rest - (tanh - large);
      return fma(tanh, tanh, (tanh + tanh) * low);
    }
  };

  template <class V>
  static HALFWAVE_INLINE V forward(V x) {
    if constexpr (sizeof(typename V::Scalar) == 4)
      return copysign(TanhPiece<V>(x).shrink(), x);
    else
      return copysign(Parts<V>(abs(x)).shrink(abs(x)), x);
  }
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x) {
    if constexpr (sizeof(typename V::Scalar) == 4)
      return g * TanhPiece<V>(x).square();
    else
      return g * Parts<V>(abs(x)).square();
  }
  static HALFWAVE_INLINE Vec<float> forward_narrow(Vec<float> x) {
    return copysign(TanhPiece<Vec<float>>(x).narrow_shrink(), x);
  }
  static HALFWAVE_INLINE Vec<float> backward_narrow(Vec<float> g, Vec<float> x) {
    const Vec<float> t = TanhPiece<Vec<float>>(x).tanh();
    return g * (t * t);
  }
  template <class V>
  static HALFWAVE_INLINE V second_derivative(V x) {
    return logistic_curvature(-8, x + x);
  }
};

}  // namespace
}  // namespace halfwave::activations
