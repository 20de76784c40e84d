// Piecewise linear: ReLU and the variants that keep a slope below zero.
#pragma once

#include "../math/gradient.hpp"
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
  };
  static constexpr int unroll = 4;

  template <class V>
  static HALFWAVE_INLINE V forward(V x) {
    return max(V(0), x);
  }
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x) {
    return select(x > V(0), g, flat(g, x));
  }
  template <class V>
  static HALFWAVE_INLINE V backward_from_output(V g, V y) {
    return backward(g, y);
  }
};

struct LeakyRelu {
  static constexpr Info info{
      .name = "leaky_relu",
      .title = "Leaky rectified linear unit.",
      .formula = "x if x > 0 else negative_slope * x",
      .derivative = "1 if x > 0 else negative_slope",
      .kink = "The derivative at 0 is negative_slope.",
      .source = "A. L. Maas, A. Y. Hannun and A. Y. Ng, Rectifier nonlinearities improve neural network acoustic models, "
                "ICML 2013.",
      .parameters = {{.name = "negative_slope", .meaning = "slope for x <= 0, any real number", .value = 0.01}},
      .from_output_domain = {"negative_slope must be >= 0: only then does the sign of y tell that of x",
                             [](const double* p) { return !(p[0] < 0); }},
      .from_output = "1 if y > 0 else negative_slope, the same as from x",
      .forward = {0.5, 0.5},
  };
  static constexpr int unroll = 4;

  template <class V>
  static HALFWAVE_INLINE V forward(V x, V slope) {
    return select(x > V(0), x, product(slope, x));
  }
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x, V slope) {
    return select(x > V(0), g, select(unordered(x, x), x, product(g, slope)));
  }
  template <class V>
  static HALFWAVE_INLINE V backward_from_output(V g, V y, V slope) {
    return backward(g, y, slope);
  }
  template <class V>
  static HALFWAVE_INLINE void parameter_terms(V* terms, V g, V x, V) {
    terms[0] = select(x > V(0), flat(g, x), g * x);
  }
};

struct Prelu : LeakyRelu {
  static constexpr Info info{
      .name = "prelu",
      .title = "Parametric rectified linear unit: a leaky ReLU whose slope is learned.",
      .formula = "x if x > 0 else weight * x",
      .derivative = "1 if x > 0 else weight",
      .kink = "The derivative at 0 is weight.",
      .source = "K. He, X. Zhang, S. Ren and J. Sun, Delving deep into rectifiers, ICCV 2015, arXiv:1502.01852.",
      .parameters = {{.name = "weight", .meaning = "slope for x <= 0, any real number; an array broadcasts against x, "
                                                   "e.g. weight[:, None, None] for one slope per channel of (N, C, H, W)",
                      .required = true}},
      .from_output_domain = {"weight must be >= 0: only then does the sign of y tell that of x",
                             [](const double* p) { return !(p[0] < 0); }},
      .from_output = "1 if y > 0 else weight, the same as from x",
      .forward = {0.5, 0.5},
  };
};

}  // namespace
}  // namespace halfwave::activations
