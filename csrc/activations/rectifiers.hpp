// Piecewise linear: ReLU and the variants that keep a slope below zero.
#pragma once

#include "../math/curvature.hpp"
#include "../math/pieces.hpp"
#include "info.hpp"

namespace halfwave::activations {
namespace {

struct Relu {
  static constexpr Info info{
      .name = "relu",
      .title = "Rectified linear unit.",
      .formula = "max(x, 0)",
      .derivative = "1 if x > 0 else 0",
      .kink = "The derivative at 0 is 0. relu(-0.0) is -0.0.",
      .source = "V. Nair and G. E. Hinton, Rectified linear units improve restricted Boltzmann machines, ICML 2010.",
      .keeps_integers = true,
      .from_output = "1 if y > 0 else 0, the same as from x",
      .mask = "x > 0",
      .forward = {0, 0, Doubt::not_rounded},
      .backward = {0, 0, Doubt::not_rounded},
      .backward_from_output = {0, 0, Doubt::not_rounded},
  };
  static constexpr int unroll = 4;

  template <class V>
  static HALFWAVE_INLINE V forward(V x) {
    return max(V(0), x);
  }
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x) {
    return pass(x > V(0), g, x);
  }
  template <class V>
  static HALFWAVE_INLINE typename V::Mask outer(V x) {
    return x <= V(0);
  }
  template <class V>
  static HALFWAVE_INLINE V backward_from_output(V g, V y) {
    return backward(g, y);
  }
  using Curvature = Linear<0>;
};

struct LeakyRelu {
  static constexpr Info info{
      .name = "leaky_relu",
      .title = "Leaky rectified linear unit.",
      .formula = "x if x > 0 else negative_slope * x",
      .derivative = "1 if x > 0 else negative_slope",
      .kink = "The derivative at 0 is negative_slope.",
      .source =
          "A. L. Maas, A. Y. Hannun and A. Y. Ng, Rectifier nonlinearities improve neural network acoustic models, "
          "ICML 2013.",
      .parameters = {{.name = "negative_slope", .meaning = "slope for x <= 0, any real number", .value = 0.01}},
      .from_output_domain = {"negative_slope must be >= 0: only then does the sign of y tell that of x",
                             [](const double* p) { return !(p[0] < 0); }},
      .from_output = "1 if y > 0 else negative_slope, the same as from x",
      .mask = "x > 0",
      .forward = {0.5, 0.5, Doubt::exact_is_before},
  };
  static constexpr int unroll = 4;

  template <class V>
  static HALFWAVE_INLINE V forward(V x, V slope) {
    return select(x > V(0), x, scaled(slope, x));
  }
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x, V slope) {
    return select(x > V(0), g, select(unordered(x, x), x, gradient(g, slope)));
  }
  template <class V>
  static HALFWAVE_INLINE typename V::Mask outer(V x, V) {
    return x <= V(0);
  }
  template <class V>
  static HALFWAVE_INLINE V backward_from_output(V g, V y, V slope) {
    return backward(g, y, slope);
  }
  template <class V>
  static HALFWAVE_INLINE void parameter_terms(V* terms, V g, V x, V) {
    terms[0] = select(x > V(0), flat(g, x), g * x);
  }
  using Curvature = Linear<0>;
};

struct Prelu : LeakyRelu {
  static constexpr Info info{
      .name = "prelu",
      .title = "Parametric rectified linear unit: a leaky ReLU whose slope is learned.",
      .formula = "x if x > 0 else weight * x",
      .derivative = "1 if x > 0 else weight",
      .kink = "The derivative at 0 is weight.",
      .source = "K. He, X. Zhang, S. Ren and J. Sun, Delving deep into rectifiers, ICCV 2015, arXiv:1502.01852.",
      .parameters = {{.name = "weight",
                      .meaning = "slope for x <= 0, any real number; an array broadcasts against x, "
                                 "e.g. weight[:, None, None] for one slope per channel of (N, C, H, W)",
                      .required = true}},
      .from_output_domain = {"weight must be >= 0: only then does the sign of y tell that of x",
                             [](const double* p) { return !(p[0] < 0); }},
      .from_output = "1 if y > 0 else weight, the same as from x",
      .forward = {0.5, 0.5, Doubt::never},
  };
};

struct Rrelu {
  static constexpr Info info{
      .name = "rrelu",
      .title = "Randomised leaky rectified linear unit, as it is applied after training: with the mean slope.",
      .formula = "x if x > 0 else (lower + upper) / 2 * x",
      .derivative = "1 if x > 0 else (lower + upper) / 2",
      .kink = "The derivative at 0 is that for x < 0.",
      .source =
          "B. Xu, N. Wang, T. Chen and M. Li, Empirical evaluation of rectified activations in convolutional network, "
          "2015, arXiv:1505.00853.",
      .parameters = {{.name = "lower", .meaning = "smallest slope for x <= 0, any real number", .value = 1.0 / 8},
                     {.name = "upper", .meaning = "largest slope for x <= 0, any real number", .value = 1.0 / 3}},
      .from_output_domain = {"lower + upper must be >= 0: only then does the sign of y tell that of x",
                             [](const double* p) { return !(p[0] + p[1] < 0); }},
      .from_output = "1 if y > 0 else (lower + upper) / 2, the same as from x",
      .forward = {1, 1, Doubt::exact_is_beyond, Doubt::beyond_range_away},
      .backward = {1, 1, Doubt::never},
      .backward_from_output = {1, 1, Doubt::never},
  };
  static constexpr int unroll = 4;

  template <class V>
  static HALFWAVE_INLINE V slope(V lower, V upper) {
    return fma(lower, V(0.5f), upper * V(0.5f));
  }
  // The slope in two parts, of which the first is shortened towards 0: the second has the same sign, and they give the
  // right zero.
  template <class V>
  static HALFWAVE_INLINE V forward(V given, V lower, V upper) {
    const V x = given.in_register();  // it is used three times
    const V mean = slope(lower, upper);
    const auto first_is_larger = abs(lower) > abs(upper);
    const V larger = select(first_is_larger, lower, upper), smaller = select(first_is_larger, upper, lower);
    const V lost = fma(smaller, V(0.5f), fms(larger, V(0.5f), mean));
    const V shortened = fnma(mean, V(0x1p-20f), mean);
    const auto finite = abs(mean) <= largest_finite<V>();
    const V high = select(finite, shortened, mean), low = select(finite, (mean - shortened) + lost, V(0));
    const V falling = fma(high, x, low * max(-largest_finite<V>(), x));
    if (any(mean == V(0))) [[unlikely]]
      return select(x > V(0), x, select(mean == V(0), product(mean, x), falling));
    return select(x > V(0), x, falling);
  }
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x, V lower, V upper) {
    return LeakyRelu::backward(g, x, slope(lower, upper));
  }
  template <class V>
  static HALFWAVE_INLINE V backward_from_output(V g, V y, V lower, V upper) {
    return backward(g, y, lower, upper);
  }
  using Curvature = Linear<0>;
};

struct SquaredRelu {
  static constexpr Info info{
      .name = "squared_relu",
      .title = "Squared rectified linear unit.",
      .formula = "max(x, 0)**2",
      .derivative = "2 * max(x, 0)",
      .curvature = "2 if x > 0 else 0",
      .kink = "Smooth at 0, where the derivative is 0.",
      .source = "D. R. So et al., Primer: searching for efficient transformers for language modeling, NeurIPS 2021, "
                "arXiv:2109.08668.",
      .from_output = "2 * sqrt(y)",
      .forward = {0.5, 0.5, Doubt::never},
      .backward = {0, 0},
      .backward_from_output = {0.5, 0.5, Doubt::never},
  };

  template <class V>
  static HALFWAVE_INLINE V forward(V x) {
    const V positive = max(V(0), x);
    return positive * positive;
  }
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x) {
    return gradient_where(x > V(0), g, x + x, x);
  }
  template <class V>
  static HALFWAVE_INLINE V backward_from_output(V g, V y) {
    return backward(g, sqrt(max(V(0), y)));
  }
  template <class V>
  static HALFWAVE_INLINE V second_derivative(V x) {
    return curved(x > V(0), V(2), x);
  }
};

struct StarRelu {
  static constexpr Info info{
      .name = "star_relu",
      .title = "Squared rectified linear unit with a learned scale and bias; the defaults give mean 0 and variance 1.",
      .formula = "scale * max(x, 0)**2 + bias",
      .derivative = "2 * scale * max(x, 0)",
      .curvature = "2 * scale if x > 0 else 0",
      .kink = "Smooth at 0, where the derivative is 0.",
      .source = "W. Yu et al., MetaFormer baselines for vision, 2022, arXiv:2210.13452.",
      .parameters = {{.name = "scale", .meaning = "factor of the square, any real number", .value = 0.8944271909999159},
                     {.name = "bias",
                      .meaning = "constant that is added, any real number",
                      .value = -0.4472135954999579}},
      .from_output_domain = {"scale must be > 0: only then does y determine x",
                             [](const double* p) { return !(p[0] <= 0); }},
      .from_output = "2 * sqrt(scale * (y - bias)); as y nears bias it has lost the digits of y - bias",
      .forward = {1, 1, Doubt::never},
      .backward = {1, 1, Doubt::never},
      .backward_from_output = {1, 1, Doubt::at_normal_midpoints, Doubt::never},
  };

  // With s*m = p + low exactly, fma(p, m, bias) + low*m has one rounding of consequence even where the terms cancel. A limit
  // on m, beyond which the result is infinite anyway, keeps p finite.
  template <class V>
  static HALFWAVE_INLINE V forward(V x, V scale, V bias) {
    const V m = max(V(0), x);
    const V largest = largest_finite<V>();
    const V limit = min(largest, largest * V(1 - 0x1p-22f) / abs(scale));
    const V limited = min(limit, m);
    const V p = scale * limited;
    const V y = fma(fms(scale, limited, p), limited, fma(p, m, bias));
    const auto infinite = abs(scale) > largest_finite<V>();
    if (any(infinite)) [[unlikely]]
      return select(infinite, select(x <= V(0), bias, fma(scale * m, m, bias)), y);
    return y;
  }
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x, V scale, V) {
    return gradient_where((x > V(0)) & not_zero(scale), g, (scale + scale) * x, x);
  }
  // What root = sqrt(x) lacks to be the root of x + low, for x > 0.
  template <class V>
  static HALFWAVE_INLINE V root_low(V root, V x, V low) {
    return select(root <= largest_finite<V>(), (fnma(root, root, x) + low) / (root + root), V(0));
  }
  template <class V>
  static HALFWAVE_INLINE V backward_from_output(V g, V y, V scale, V bias) {
    // Quartered where the difference might overflow.
    const V down = select(abs(y) > V(1), V(0.25f), V(1)), up = select(abs(y) > V(1), V(4), V(2));
    const V a = y * down, b = bias * down;
    const V square = a - b, b_rounded = a - square;
    const V square_low = (a - (square + b_rounded)) + (b_rounded - b);
    const V slope = sqrt(scale), slope_low = root_low(slope, scale, V(0));
    const V distance = sqrt(square), distance_low = root_low(distance, square, square_low);
    const V root = fma(slope, distance, fma(slope_low, min(largest_finite<V>(), distance), slope * distance_low));
    return select(y > bias, gradient(g, up * root), flat(g, nan_from(bias, nan_from(scale, y))));
  }
  template <class V>
  static HALFWAVE_INLINE void parameter_terms(V* terms, V g, V x, V, V) {
    terms[0] = select(x > V(0), product(g, x * x), flat(g, x));
    terms[1] = select(unordered(x, x), x, g);
  }
  template <class V>
  static HALFWAVE_INLINE V second_derivative(V x, V scale, V) {
    return curved(x > V(0), scale + scale, x);
  }
};

struct Identity {
  static constexpr Info info{
      .name = "identity",
      .title = "Identity, or linear activation.",
      .formula = "x",
      .derivative = "1",
      .source = "The neutral element of the composition of activations.",
      .from_output = "1",
      .forward = {0, 0, Doubt::not_rounded},
      .backward = {0, 0, Doubt::not_rounded},
      .backward_from_output = {0, 0, Doubt::not_rounded},
  };
  static constexpr int unroll = 4;

  template <class V>
  static HALFWAVE_INLINE V forward(V x) {
    return x;
  }
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x) {
    return select(unordered(x, x), x, g);
  }
  template <class V>
  static HALFWAVE_INLINE V backward_from_output(V g, V y) {
    return backward(g, y);
  }
  using Curvature = Linear<0>;
};

}  // namespace
}  // namespace halfwave::activations
