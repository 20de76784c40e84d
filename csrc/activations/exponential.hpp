// Exponential below zero: ELU and its relatives.
#pragma once

#include "../math/exp.hpp"
#include "../math/pieces.hpp"
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
      .source =
          "D.-A. Clevert, T. Unterthiner and S. Hochreiter, Fast and accurate deep network learning by exponential "
          "linear units, ICLR 2016, arXiv:1511.07289.",
      .parameters = {{.name = "alpha", .meaning = "minus the limit at -inf, any real number", .value = 1.0}},
      .from_output_domain = {"alpha must be >= 0: only then does the sign of y tell that of x",
                             [](const double* p) { return !(p[0] < 0); }},
      .from_output =
          "1 if y > 0 else y + alpha; far below 0, y has lost the digits of exp(x), and the derivative with it",
      .forward = {2, 2},
      .backward = {2, 2},
      .backward_from_output = {1, 1},
  };

  template <class V>
  static HALFWAVE_INLINE V forward(V x, V alpha) {
    return select(x > V(0), x, alpha * expm1(x));
  }
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x, V alpha) {
    return select(x > V(0), g, gradient(g, times_exp(alpha, x)));
  }
  template <class V>
  static HALFWAVE_INLINE V backward_from_output(V g, V y, V alpha) {
    return select(y > V(0), g, gradient(g, max(V(0), y + alpha)));
  }
  template <class V>
  static HALFWAVE_INLINE void parameter_terms(V* terms, V g, V x, V) {
    terms[0] = select(x > V(0), flat(g, x), g * expm1(x));
  }
};

struct Selu {
  static constexpr Info info{
      .name = "selu",
      .title = "Scaled exponential linear unit: keeps activations near mean 0 and variance 1.",
      .formula =
          "scale * (x if x > 0 else alpha * (exp(x) - 1)), alpha = 1.6732632423543772, scale = 1.0507009873554805",
      .derivative = "scale if x > 0 else scale * alpha * exp(x)",
      .kink = "The derivative at 0 is scale * alpha.",
      .source =
          "G. Klambauer, T. Unterthiner, A. Mayr and S. Hochreiter, Self-normalizing neural networks, NeurIPS 2017, "
          "arXiv:1706.02515.",
      .from_output = "scale if y > 0 else y + scale * alpha; far below 0, y has lost the digits of exp(x)",
      .forward = {2, 2},
      .backward = {2, 2},
      .backward_from_output = {1, 1},
  };

  template <class V>
  static HALFWAVE_INLINE V forward(V x) {
    using K = SeluConstants<typename V::Scalar>;
    const V e = expm1(x);
    return select(x > V(0), fma(x, V(K::scale), x * V(K::scale_low)),
                  fma(e, V(K::scale_alpha), e * V(K::scale_alpha_low)));
  }
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x) {
    using K = SeluConstants<typename V::Scalar>;
    const V falling = times_exp(V(K::scale_alpha), x, V(K::scale_alpha_low / K::scale_alpha));
    return g * select(x > V(0), V(K::scale), falling);
  }
  template <class V>
  static HALFWAVE_INLINE V backward_from_output(V g, V y) {
    using K = SeluConstants<typename V::Scalar>;
    const V falling = max(V(0), (y + V(K::scale_alpha)) + V(K::scale_alpha_low));
    return g * select(y > V(0), V(K::scale), falling);
  }
};

struct Celu {
  static constexpr Info info{
      .name = "celu",
      .title = "Continuously differentiable exponential linear unit.",
      .formula = "x if x > 0 else alpha * (exp(x / alpha) - 1)",
      .derivative = "1 if x > 0 else exp(x / alpha)",
      .kink = "Smooth at 0, where the derivative is 1.",
      .source = "J. T. Barron, Continuously differentiable exponential linear units, 2017, arXiv:1704.07483.",
      .parameters = {{.name = "alpha",
                      .meaning = "minus the limit at -inf if positive, any number but 0",
                      .value = 1.0}},
      .domain = {"alpha must not be 0", [](const double* p) { return p[0] != 0; }},
      .from_output_domain = {"alpha must be > 0: only then does the sign of y tell that of x",
                             [](const double* p) { return !(p[0] <= 0); }},
      .from_output = "1 if y > 0 else (y + alpha) / alpha; far below 0, y has lost the digits of exp(x / alpha)",
      .forward = {2, 2},
      .backward = {2, 2},
      .backward_from_output = {1.5, 1.5},
  };

  // x / alpha = t + rest / alpha, where rest is exact.
  template <class V>
  struct Quotient {
    V t, rest;
    HALFWAVE_INLINE Quotient(V x, V alpha) {
      const V negative = min(V(0), x);
      t = clip_magnitude(negative / alpha, ExpRange<typename V::Scalar>::any);
      const V residual = fnma(t, alpha, negative);
      rest = select(abs(t) < V(ExpRange<typename V::Scalar>::any), residual, V(0));
    }
  };

  // alpha * expm1(t + rest/alpha) = alpha * expm1(t) + rest * e^t. A negative alpha makes t positive, and perhaps large: from
  // 16 up it is alpha * e^t - alpha.
  template <class V>
  static HALFWAVE_INLINE V forward(V x, V alpha) {
    const Quotient<V> q(x, alpha);
    const V e = expm1(q.t);
    const V near = fma(alpha, e, q.rest * (e + V(1)));
    const V far = times_exp(alpha, q.t, q.rest / alpha) - alpha;
    return select(x > V(0), x, copysign(select(q.t > V(16), far, near), x));
  }
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x, V alpha) {
    const Quotient<V> q(x, alpha);
    return select(x > V(0), g, product(g, times_exp(V(1), q.t, q.rest / alpha)));
  }
  template <class V>
  static HALFWAVE_INLINE V backward_from_output(V g, V y, V alpha) {
    return select(y > V(0), g, product(g, max(V(0), (y + alpha) / alpha)));
  }
  // expm1(t) - t * e^t, t = x / alpha: near 0 it is t^2 times a polynomial. Elsewhere, with u = 2^n and t = n*ln2 + r, it is
  //
  //   (u - 1 - u*n*ln2) - u*t*r + u*(1 - t)*(e^r - 1 - r),
  //
  // the bracket being exact but for its low word. All of it is scaled, so that u*t does not overflow before the result does.
  template <class V>
  static HALFWAVE_INLINE void parameter_terms(V* terms, V g, V x, V alpha) {
    using T = typename V::Scalar;
    using K = Reduction<T>;
    using Near = CeluAlpha<T>;
    // From `lowest` down it is -1, and from `highest` up infinite.
    constexpr T lowest = sizeof(T) == 4 ? -70 : -700, highest = T(sizeof(T) == 4 ? 88.3 : 709.4);
    const V negative = min(V(0), x);
    const V exact = negative / alpha;
    const V t = max(V(lowest), min(V(highest), exact));
    const V t_low = select(exact == t, fnma(t, alpha, negative) / alpha, V(0));

    constexpr T exponent_offset = -12;
    const V one = V(0x1p-12f), unscale = V(0x1p12f);
    const V shift = V(K::magic + K::exponent_bias + exponent_offset);
    const V y = fma(t, V(K::log2e), shift);
    const V u = exponent_from_low_bits(y), n = y - shift;
    const V high = fnma(n, V(K::ln2_high), t);
    const V r = fnma(n, V(K::ln2_low), high), r_low = fnma(n, V(K::ln2_low), high - r);
    const V tail = (r * r) * polynomial(r, Expm1<T>::tail);
    const V ut = u * t, un = u * n;
    const V low = r_low + fma(t_low, r + tail, t_low);
    const V bracket = fnma(un, V(K::ln2_high), u - one);
    const V far = (fnma(ut, r, bracket) + fma(u - ut, tail, fnma(ut, low, -(un * V(K::ln2_low))))) * unscale;

    const V z = t * t, z_low = fms(t, t, z);
    const V quotient = polynomial(t, Near::quotient);
    const V shifted = (t * t_low) * fma(V(0.5f), z, t + V(1));  // t_low times the derivative t * e^t, roughly
    const V near = fma(z, quotient, fma(z_low, quotient, -shifted));
    terms[0] = select(x > V(0), flat(g, x), product(g, select(abs(t) < V(Near::radius), near, far)));
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
                     {.name = "alpha_n",
                      .meaning = "weight of the exponential for x <= 0, any real number",
                      .value = 0.8},
                     {.name = "beta", .meaning = "slope at 0, any real number", .value = 0.5}},
      .forward = {2, 2},
      .backward = {2, 2},
  };

  template <class V>
  static HALFWAVE_INLINE V forward(V x, V alpha_p, V alpha_n, V beta) {
    const V inner = fma(alpha_p, finite_for(alpha_p, x), beta);
    // alpha_n * (expm1(x) - x) + beta * x; from -2 down, where x may be -inf, alpha_n * expm1(x) + (beta - alpha_n) * x.
    const V negative = min(V(0), x);
    const auto near = x > V(-2);
    V low;
    const V high = expm1_minus_x(negative, low);
    const V curved = select(near, fma(alpha_n, high, alpha_n * low), alpha_n * expm1(negative));
    const V slope = select(near, beta, beta - alpha_n);
    const V sum = fma(slope, finite_for(slope, negative), curved);
    const V y = select(x > V(0), x * inner, sum);
    const auto cancels = (abs(inner) < abs(beta)) | (abs(sum) < V(2) * abs(curved));
    const auto wide = [](auto... v) HALFWAVE_INLINE_LAMBDA { return forward(v...); };
    return refine(y, cancels, wide, x, alpha_p, alpha_n, beta);
  }
  // For x <= 0 it is alpha_n * expm1(x) + beta, from -1 down alpha_n * e^x + (beta - alpha_n).
  template <class V>
  static HALFWAVE_INLINE V derivative(V x, V alpha_p, V alpha_n, V beta) {
    const V negative = min(V(0), x);
    const auto near = x > V(-1);
    const V falling = select(near, alpha_n * expm1(negative), times_exp(alpha_n, negative));
    const V sloped = select(x > V(0), product(V(2) * alpha_p, x), falling);
    const V constant = select(near, beta, beta - alpha_n);
    const V sum = sloped + constant;
    const auto wide = [](auto... v) HALFWAVE_INLINE_LAMBDA { return derivative(v...); };
    return refine(sum, abs(sum) < abs(constant), wide, x, alpha_p, alpha_n, beta);
  }
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x, V alpha_p, V alpha_n, V beta) {
    return gradient(g, derivative(x, alpha_p, alpha_n, beta));
  }
  template <class V>
  static HALFWAVE_INLINE void parameter_terms(V* terms, V g, V x, V, V, V) {
    terms[0] = select(x > V(0), g * (x * x), flat(g, x));
    V low;
    terms[1] = select(x > V(0), flat(g, x), product(g, expm1_minus_x(min(V(0), x), low)));
    terms[2] = g * x;
  }
};

}  // namespace
}  // namespace halfwave::activations
