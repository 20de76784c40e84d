// Exponential below zero: ELU and its relatives.
#pragma once

#include "../math/exp.hpp"
#include "../math/gradient.hpp"
#include "../math/wide.hpp"
#include "info.hpp"

namespace halfwave::activations {
namespace {

struct Elu {
  static constexpr Info info{
      .name = "elu",
      .title = "Exponential linear unit.",
      .formula = "x if x > 0 else alpha * (exp(x) - 1)",
      .derivative = "1 if x > 0 else alpha * exp(x)",
      .kink = "The derivative at 0 is alpha.",
      .source = "D.-A. Clevert, T. Unterthiner and S. Hochreiter, Fast and accurate deep network learning by exponential "
                "linear units, ICLR 2016, arXiv:1511.07289.",
      .parameters = {{.name = "alpha", .meaning = "minus the limit at -inf, any real number", .value = 1.0}},
      .from_output_domain = {"alpha must be >= 0: only then does the sign of y tell that of x",
                             [](const double* p) { return !(p[0] < 0); }},
      .from_output = "1 if y > 0 else y + alpha; far below 0, y has lost the digits of exp(x), and the derivative with it",
      .forward = {2, 2},
      .backward = {2, 2},
      .backward_from_output = {1, 1},
  };

  template <class V>
  static HALFWAVE_INLINE V forward(V x, V alpha) {
    return select(x > V(0), x, alpha * expm1_negative(x));
  }
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x, V alpha) {
    return select(x > V(0), g, product(g, times_exp_negative(alpha, x)));
  }
  template <class V>
  static HALFWAVE_INLINE V backward_from_output(V g, V y, V alpha) {
    return select(y > V(0), g, product(g, max(V(0), y + alpha)));
  }
  template <class V>
  static HALFWAVE_INLINE void parameter_terms(V* terms, V g, V x, V) {
    terms[0] = select(x > V(0), flat(g, x), g * expm1_negative(x));
  }
};

// Where the two terms of a sum cancel, the float result is taken from doubles instead.
struct Xielu {
  static constexpr Info info{
      .name = "xielu",
      .title = "Expanded integral of the exponential linear unit.",
      .formula = "alpha_p * x**2 + beta * x if x > 0 else alpha_n * (exp(x) - 1 - x) + beta * x",
      .derivative = "2 * alpha_p * x + beta if x > 0 else alpha_n * (exp(x) - 1) + beta",
      .kink = "Smooth at 0, where the derivative is beta.",
      .source = "A. H. Huang and I. Schlag, Deriving activation functions using integration, 2024, arXiv:2411.13010.",
      .note = "Error bounds are relative to the result in float32; in float64, near the roots, which move with the "
              "parameters, to the larger of the two terms.",
      .parameters = {{.name = "alpha_p", .meaning = "curvature for x > 0, any real number", .value = 0.8},
                     {.name = "alpha_n", .meaning = "weight of the exponential for x <= 0, any real number", .value = 0.8},
                     {.name = "beta", .meaning = "slope at 0, any real number", .value = 0.5}},
      .forward = {2, 2},
      .backward = {2, 2},
  };

  template <class V>
  static HALFWAVE_INLINE V forward(V x, V alpha_p, V alpha_n, V beta) {
    const V inner = product(alpha_p, x) + beta;
    // alpha_n * (expm1(x) - x) + beta * x, and from -1 down, where x may be -inf, alpha_n * expm1(x) + (beta - alpha_n) * x.
    const auto near = x > V(-1);
    const V curved = alpha_n * select(near, expm1_minus_x_negative(x), expm1_negative(x));
    const V sum = curved + product(select(near, beta, beta - alpha_n), min(V(0), x));
    const V y = select(x > V(0), x * inner, sum);
    const auto cancels = (abs(inner) < abs(beta)) | (abs(sum) < abs(curved));
    const auto wide = [](auto... v) HALFWAVE_INLINE_LAMBDA { return forward(v...); };
    return refine(y, cancels, wide, x, alpha_p, alpha_n, beta);
  }
  template <class V>
  static HALFWAVE_INLINE V derivative(V x, V alpha_p, V alpha_n, V beta) {
    const V sloped = select(x > V(0), product(V(2) * alpha_p, x), alpha_n * expm1_negative(x));
    const V sum = sloped + beta;
    const auto wide = [](auto... v) HALFWAVE_INLINE_LAMBDA { return derivative(v...); };
    return refine(sum, abs(sum) < abs(beta), wide, x, alpha_p, alpha_n, beta);
  }
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x, V alpha_p, V alpha_n, V beta) {
    return product(g, derivative(x, alpha_p, alpha_n, beta));
  }
  template <class V>
  static HALFWAVE_INLINE void parameter_terms(V* terms, V g, V x, V, V, V) {
    terms[0] = select(x > V(0), g * (x * x), flat(g, x));
    terms[1] = select(x > V(0), flat(g, x), g * expm1_minus_x_negative(x));
    terms[2] = g * x;
  }
};

}  // namespace
}  // namespace halfwave::activations
