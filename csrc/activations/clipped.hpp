// Piecewise linear or quadratic between two bounds: the clipped rectifiers and the "hard" versions of smooth functions.
#pragma once

#include "../math/curvature.hpp"
#include "../math/pieces.hpp"
#include "info.hpp"

namespace halfwave::activations {
namespace {

struct Relu6 {
  static constexpr Info info{
      .name = "relu6",
      .title = "Rectified linear unit with a ceiling of 6.",
      .formula = "min(max(x, 0), 6)",
      .derivative = "1 if 0 < x < 6 else 0",
      .kink = "The derivative at 0 and at 6 is 0.",
      .source = "A. Krizhevsky, Convolutional deep belief networks on CIFAR-10, 2010.",
      .keeps_integers = true,
      .from_output = "1 if 0 < y < 6 else 0, the same as from x",
      .mask = "(x > 0) & (x < 6)",
      .forward = {0, 0, Doubt::not_rounded},
      .backward = {0, 0, Doubt::not_rounded},
      .backward_from_output = {0, 0, Doubt::not_rounded},
  };
  static constexpr int unroll = 4;

  template <class V>
  static HALFWAVE_INLINE V forward(V x) {
    return min(V(6), max(V(0), x));
  }
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x) {
    return pass((x > V(0)) & (x < V(6)), g, x);
  }
  template <class V>
  static HALFWAVE_INLINE typename V::Mask outer(V x) {
    return (x <= V(0)) | (x >= V(6));
  }
  template <class V>
  static HALFWAVE_INLINE V backward_from_output(V g, V y) {
    return backward(g, y);
  }
  using Curvature = Linear<0>;
};

struct ClippedRelu {
  static constexpr Info info{
      .name = "clipped_relu",
      .title = "Rectified linear unit with a ceiling.",
      .formula = "min(max(x, 0), ceiling)",
      .derivative = "1 if 0 < x < ceiling else 0",
      .kink = "The derivative at 0 and at the ceiling is 0.",
      .source = "A. Hannun et al., Deep Speech: scaling up end-to-end speech recognition, 2014, arXiv:1412.5567.",
      .keeps_integers = true,
      .parameters = {{.name = "ceiling", .meaning = "largest output, any real number", .required = true}},
      .from_output = "1 if 0 < y < ceiling else 0, the same as from x",
      .backward = {0, 0, Doubt::not_rounded},
      .backward_from_output = {0, 0, Doubt::not_rounded},
  };
  static constexpr int unroll = 4;

  template <class V>
  static HALFWAVE_INLINE V forward(V x, V ceiling) {
    return clip(x, V(0), ceiling);
  }
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x, V ceiling) {
    return pass((x > V(0)) & (x < ceiling), g, nan_from_parameter(ceiling, x));
  }
  template <class V>
  static HALFWAVE_INLINE V backward_from_output(V g, V y, V ceiling) {
    return backward(g, y, ceiling);
  }
  template <class V>
  static HALFWAVE_INLINE void parameter_terms(V* terms, V g, V x, V ceiling) {
    terms[0] = pass(x >= ceiling, g, nan_from_parameter(ceiling, x));
  }
  using Curvature = Linear<1>;
};

struct HardTanh {
  static constexpr Info info{
      .name = "hardtanh",
      .title = "Identity between two bounds.",
      .formula = "min(max(x, min_val), max_val)",
      .derivative = "1 if min_val < x < max_val else 0",
      .kink = "The derivative at the bounds is 0.",
      .source = "R. Collobert, Large scale machine learning, PhD thesis, 2004.",
      .keeps_integers = true,
      .parameters = {{.name = "min_val", .meaning = "smallest output, at most max_val", .value = -1.0},
                     {.name = "max_val", .meaning = "largest output, at least min_val", .value = 1.0}},
      .domain = {"min_val must be <= max_val", [](const double* p) { return !(p[0] > p[1]); }},
      .from_output_domain = {"min_val must be <= max_val", [](const double* p) { return !(p[0] > p[1]); }},
      .from_output = "1 if min_val < y < max_val else 0, the same as from x",
      .backward = {0, 0, Doubt::not_rounded},
      .backward_from_output = {0, 0, Doubt::not_rounded},
  };
  static constexpr int unroll = 4;

  template <class V>
  static HALFWAVE_INLINE V forward(V x, V low, V high) {
    return clip(x, low, high);
  }
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x, V low, V high) {
    return pass((x > low) & (x < high), g, nan_from_parameter(low, nan_from_parameter(high, x)));
  }
  template <class V>
  static HALFWAVE_INLINE V backward_from_output(V g, V y, V low, V high) {
    return backward(g, y, low, high);
  }
  template <class V>
  static HALFWAVE_INLINE void parameter_terms(V* terms, V g, V x, V low, V high) {
    const V nan = nan_from_parameter(low, nan_from_parameter(high, x));
    terms[0] = pass(x <= low, g, nan);
    terms[1] = pass(x >= high, g, nan);
  }
  using Curvature = Linear<2>;
};

struct HardSigmoid {
  static constexpr Info info{
      .name = "hardsigmoid",
      .title = "Piecewise linear approximation of the logistic function, with slope 1/6.",
      .formula = "min(max((x + 3) / 6, 0), 1)",
      .derivative = "1/6 if -3 < x < 3 else 0",
      .kink = "The derivative at -3 and at 3 is 0.",
      .source = "A. Howard et al., Searching for MobileNetV3, ICCV 2019, arXiv:1905.02244.",
      .from_output = "1/6 if 0 < y < 1 else 0; just below x = 3, y rounds to 1 and the derivative to 0",
      .forward = {1, 1, Doubt::never},
      .backward = {0.5, 0.5, Doubt::never},
      .backward_from_output = {0.5, 0.5, Doubt::never},
  };
  static constexpr int unroll = 4;

  template <class V>
  static HALFWAVE_INLINE V forward(V x) {
    return min(V(1), max(V(0), ratio_plus_half<6>(x)));
  }
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x) {
    return gradient_where(abs(x) < V(3), g, V(typename V::Scalar(1) / 6), x);
  }
  template <class V>
  static HALFWAVE_INLINE V backward_from_output(V g, V y) {
    return gradient_where((y > V(0)) & (y < V(1)), g, V(typename V::Scalar(1) / 6), y);
  }
  using Curvature = Linear<0>;
};

struct ClippedLinear {
  static constexpr Info info{
      .name = "clipped_linear",
      .title = "Linear function clipped to [0, 1]; the defaults are those of the hard sigmoid of ONNX.",
      .formula = "min(max(slope * x + offset, 0), 1)",
      .derivative = "slope if 0 < slope * x + offset < 1 else 0",
      .kink = "The derivative where the line meets 0 and 1 is 0.",
      .source = "M. Courbariaux, Y. Bengio and J.-P. David, BinaryConnect, NeurIPS 2015, arXiv:1511.00363.",
      .parameters = {{.name = "slope", .meaning = "slope of the line, any real number", .value = 0.2},
                     {.name = "offset", .meaning = "value of the line at 0, any real number", .value = 0.5}},
      .from_output_domain = {"slope must not be 0: only then does y tell whether x is inside",
                             [](const double* p) { return p[0] != 0; }},
      .from_output = "slope if 0 < y < 1 else 0",
      .forward = {0.5, 0.5, Doubt::exact_is_off_half},
      .backward_from_output = {0, 0},
  };
  static constexpr int unroll = 4;

  template <class V>
  static HALFWAVE_INLINE V line(V x, V slope, V offset) {
    return fma(slope, finite_for_slope(slope, x), offset);
  }
  template <class V>
  static HALFWAVE_INLINE V forward(V x, V slope, V offset) {
    return min(V(1), max(V(0), line(x, slope, offset)));
  }
  // Whether 0 < slope * x + offset < 1 of the exact sum: offset - 1 is kept in two parts.
  template <class V>
  static HALFWAVE_INLINE typename V::Mask inside(V x, V slope, V offset) {
    const V below = offset - V(1);
    const V shifted = below + V(1);
    const V lost = (offset - shifted) - (V(1) - (shifted - below));
    return (line(x, slope, offset) > V(0)) & (line(x, slope, below) < -lost);
  }
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x, V slope, V offset) {
    return select(inside(x, slope, offset), gradient(g, slope), flat(g, line(x, slope, offset)));
  }
  template <class V>
  static HALFWAVE_INLINE V backward_from_output(V g, V y, V slope, V offset) {
    return gradient_where((y > V(0)) & (y < V(1)) & not_zero(slope), g, slope, nan_from(offset, nan_from(slope, y)));
  }
  template <class V>
  static HALFWAVE_INLINE void parameter_terms(V* terms, V g, V x, V slope, V offset) {
    const auto where = inside(x, slope, offset);
    const V y = line(x, slope, offset);
    terms[0] = select(where, product(g, x), flat(g, y));
    terms[1] = pass(where, g, y);
  }
  using Curvature = Linear<2>;
};

struct HardSwish {
  static constexpr Info info{
      .name = "hardswish",
      .title = "Piecewise quadratic approximation of SiLU.",
      .formula = "x * min(max((x + 3) / 6, 0), 1)",
      .derivative = "0 if x <= -3, x / 3 + 1/2 if -3 < x < 3, 1 if x >= 3",
      .curvature = "1/3 if -3 < x < 3 else 0",
      .kink = "The derivative at -3 is 0, at 3 it is 1. Below -3 the result is -0.0.",
      .source = "A. Howard et al., Searching for MobileNetV3, ICCV 2019, arXiv:1905.02244.",
      .forward = {0.75f, 0.75f, Doubt::exact_is_above},
      .backward = {1, 1, Doubt::never},
      .second_derivative = {0.5, 0.5, Doubt::never, Doubt::beyond_range_away},
  };
  static constexpr int unroll = 4;

  template <class V>
  static HALFWAVE_INLINE V forward(V x) {
    // x * (1/2 + u + rest/6) with x = 6*u + rest, so that rest/6 * x is rest * u; w + w_low is 1/2 + u exactly.
    const V above = max(V(-3), x), inner = min(V(3), above);
    const V u = inner * V(typename V::Scalar(1) / 6);
    const V rest = fnma(u, V(6), inner);
    const V w = u + V(0.5f), w_low = (V(0.5f) - w) + u;
    return fma(above, w, fma(u, rest, inner * w_low));
  }
  // Within 3 ULP in float.
  static HALFWAVE_INLINE Vec<float> forward_narrow(Vec<float> x) {
    using V = Vec<float>;
    const V above = max(V(-3), x);
    return above * min(V(1), (above + V(3)) * V(1.0f / 6));
  }
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x) {
    return gradient_where(x > V(-3), g, select(x >= V(3), V(1), ratio_plus_half<3>(x)), x);
  }
  template <class V>
  static HALFWAVE_INLINE V second_derivative(V x) {
    return curved((x > V(-3)) & (x < V(3)), V(typename V::Scalar(1) / 3), x);
  }
};

struct HardMish {
  static constexpr Info info{
      .name = "hard_mish",
      .title = "Piecewise quadratic approximation of Mish.",
      .formula = "x / 2 * min(max(x + 2, 0), 2)",
      .derivative = "0 if x <= -2, x + 1 if -2 < x < 0, 1 if x >= 0",
      .curvature = "1 if -2 < x < 0 else 0",
      .kink = "The derivative at -2 is 0, at 0 it is 1. Below -2 the result is -0.0.",
      .source = "R. Wightman, PyTorch image models, 2019, doi:10.5281/zenodo.4414861.",
      .forward = {0.5, 0.5, Doubt::never},
      .backward = {0.5, 0.5, Doubt::never},
  };
  static constexpr int unroll = 4;

  template <class V>
  static HALFWAVE_INLINE V forward(V x) {
    // The negative of it, so that what cancels at -2 is -0.
    const V above = max(V(-2), x);
    return select(x >= V(0), x, -fms(above * V(-0.5f), above, above));
  }
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x) {
    return gradient_where(x > V(-2), g, min(V(1), x + V(1)), x);
  }
  template <class V>
  static HALFWAVE_INLINE V second_derivative(V x) {
    return curved((x > V(-2)) & (x < V(0)), V(1), x);
  }
};

struct SparsePlus {
  static constexpr Info info{
      .name = "sparse_plus",
      .title = "Softplus of a sparse family: exactly 0 below -1 and exactly x above 1.",
      .formula = "0 if x <= -1, (x + 1)**2 / 4 if -1 < x < 1, x if x >= 1",
      .derivative = "0 if x <= -1, (x + 1) / 2 if -1 < x < 1, 1 if x >= 1",
      .curvature = "1/2 if -1 < x < 1 else 0",
      .kink = "Smooth: the derivative at -1 is 0, at 1 it is 1.",
      .source =
          "J. Yoo et al., as jax.nn.sparse_plus; the potential of sparsemax: A. F. T. Martins and R. F. Astudillo, "
          "ICML 2016, arXiv:1602.02068.",
      .from_output = "0 if y <= 0, sqrt(y) if 0 < y < 1, 1 if y >= 1",
      .forward = {1, 1, Doubt::at_normal_midpoints, Doubt::never},
      .backward = {0.5, 0.5, Doubt::never},
      .backward_from_output = {0.5, 0.5, Doubt::never},
  };
  static constexpr int unroll = 4;

  template <class V>
  static HALFWAVE_INLINE V half_distance(V x) {
    return fma(x, V(0.5f), V(0.5f));
  }
  template <class V>
  static HALFWAVE_INLINE V forward(V x) {
    // x/2 + 1/4 is exact where the square cancels most of it.
    const V half = max(V(-1), x) * V(0.5f);
    return select(x >= V(1), x, fma(half, half, half + V(0.25f)));
  }
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x) {
    return gradient_where(x > V(-1), g, min(V(1), half_distance(x)), x);
  }
  template <class V>
  static HALFWAVE_INLINE V backward_from_output(V g, V y) {
    return gradient_where(y > V(0), g, sqrt(min(V(1), max(V(0), y))), y);
  }
  template <class V>
  static HALFWAVE_INLINE V second_derivative(V x) {
    return curved((x > V(-1)) & (x < V(1)), V(0.5f), x);
  }
};

struct SparseSigmoid {
  static constexpr Info info{
      .name = "sparse_sigmoid",
      .title = "Derivative of sparse_plus: linear from 0 at -1 to 1 at 1.",
      .formula = "min(max((x + 1) / 2, 0), 1)",
      .derivative = "1/2 if -1 < x < 1 else 0",
      .kink = "The derivative at -1 and at 1 is 0.",
      .source = "The binary case of sparsemax: A. F. T. Martins and R. F. Astudillo, ICML 2016, arXiv:1602.02068.",
      .from_output = "1/2 if 0 < y < 1 else 0; just below x = 1, y rounds to 1 and the derivative to 0",
      .forward = {0.5, 0.5, Doubt::never},
  };
  static constexpr int unroll = 4;

  template <class V>
  static HALFWAVE_INLINE V forward(V x) {
    return min(V(1), max(V(0), fma(x, V(0.5f), V(0.5f))));
  }
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x) {
    return gradient_where(abs(x) < V(1), g, V(0.5f), x);
  }
  template <class V>
  static HALFWAVE_INLINE V backward_from_output(V g, V y) {
    return gradient_where((y > V(0)) & (y < V(1)), g, V(0.5f), y);
  }
  using Curvature = Linear<0>;
};

}  // namespace
}  // namespace halfwave::activations
