// Exponential below zero: ELU and its relatives.
#pragma once

#include "../math/curvature.hpp"
#include "../math/exp.hpp"
#include "../math/pieces.hpp"
#include "../math/wide.hpp"
#include "info.hpp"

namespace halfwave::activations {
namespace {

// e^x - 1 for x <= 0: `high`, below 1 ULP, and what it lacks. It does not keep the sign of zero.
template <class V>
struct FallingExpm1 {
  ExpReduction<V> e;
  V u, square, tail, v, high;

  explicit HALFWAVE_INLINE FallingExpm1(V x) : e(max(V(-ExpRange<typename V::Scalar>::normal), x)) {
    u = exponent_from_low_bits(e.t);
    square = e.r * e.r;
    tail = polynomial(e.r, Expm1<typename V::Scalar>::tail);
    v = fma(square, tail, e.r);
    high = fma(u, v, u - V(1));
  }
  HALFWAVE_INLINE V low() const { return fma(u, fma(square, tail, e.r - v), fma(u, v, (u - V(1)) - high)); }
};

struct Elu {
  static constexpr Info info{
      .name = "elu",
      .title = "Exponential linear unit.",
      .formula = "x if x > 0 else alpha * (exp(x) - 1)",
      .derivative = "1 if x > 0 else alpha * exp(x)",
      .curvature = "0 if x > 0 else alpha * exp(x)",
      .kink = "The derivative at 0 is alpha.",
      .source =
          "D.-A. Clevert, T. Unterthiner and S. Hochreiter, Fast and accurate deep network learning by exponential "
          "linear units, ICLR 2016, arXiv:1511.07289.",
      .parameters = {{.name = "alpha", .meaning = "minus the limit at -inf, any real number", .value = 1.0}},
      .from_output_domain = {"alpha must be >= 0: only then does the sign of y tell that of x",
                             [](const double* p) { return !(p[0] < 0); }},
      .from_output =
          "1 if y > 0 else y + alpha; far below 0, y has lost the digits of exp(x), and the derivative with it",
      .forward = {1, 1.5, Doubt::never, Doubt::beyond_range_away},
      .backward = {1, 1.5, Doubt::beyond_range_away},
      .backward_from_output = {1, 1, Doubt::never},
      .second_derivative = {0.51f, 2},
  };

  template <class V>
  static HALFWAVE_INLINE V forward(V x, V alpha) {
    const FallingExpm1<V> e(x);
    V falling = alpha * e.high;
    const V finite = max(-largest_finite<V>(), min(largest_finite<V>(), alpha));
    if (any(not_one(alpha))) falling = select(not_one(alpha), fma(alpha, e.high, finite * e.low()), falling);
    return select(x >= V(0), x, falling);
  }
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x, V alpha) {
    const Exp<V> e(x);
    V falling = alpha * e.value();
    if (any(not_one(alpha))) falling = select(not_one(alpha), e.times(alpha, V(0)), falling);
    const V result = select(x > V(0), g, g * falling);
    // Where e^x is small, or alpha is 0, small or infinite.
    const auto moderate = (abs(alpha) > V(0x1p-20f)) & (abs(alpha) <= largest_finite<V>());
    const auto rare = x < select(moderate, V(Exp<V>::lowest), largest_finite<V>());
    if (any(rare)) [[unlikely]]
      return select(rare & (x <= V(0)), gradient(g, Exp<V>::extreme(alpha, x, V(0))), result);
    return result;
  }
  template <class V>
  static HALFWAVE_INLINE V backward_from_output(V g, V y, V alpha) {
    const V d = max(V(0), y + alpha);
    V falling = g * d;
    const auto special = (d == V(0)) | (alpha > largest_finite<V>());
    if (any(special)) [[unlikely]]
      falling = gradient(g, d);
    return select(y > V(0), g, falling);
  }
  template <class V>
  static HALFWAVE_INLINE void parameter_terms(V* terms, V g, V x, V) {
    terms[0] = select(x > V(0), flat(g, x), g * expm1(x));
  }
  static HALFWAVE_INLINE Wide second_derivative(Wide x, Wide alpha) {
    return curved(x <= Wide(0), times_exp(alpha, x), x);
  }
};

struct Selu {
  static constexpr Info info{
      .name = "selu",
      .title = "Scaled exponential linear unit: keeps activations near mean 0 and variance 1.",
      .formula =
          "scale * (x if x > 0 else alpha * (exp(x) - 1)), alpha = 1.6732632423543772, scale = 1.0507009873554805",
      .derivative = "scale if x > 0 else scale * alpha * exp(x)",
      .curvature = "0 if x > 0 else scale * alpha * exp(x)",
      .kink = "The derivative at 0 is scale * alpha.",
      .source =
          "G. Klambauer, T. Unterthiner, A. Mayr and S. Hochreiter, Self-normalizing neural networks, NeurIPS 2017, "
          "arXiv:1706.02515.",
      .from_output = "scale if y > 0 else y + scale * alpha; far below 0, y has lost the digits of exp(x)",
      .forward = {1, 1.5, Doubt::never, Doubt::beyond_range_away},
      .backward = {1, 1.5, Doubt::at_normal_midpoints, Doubt::beyond_range_away},
      .backward_from_output = {1, 1, Doubt::never},
      .second_derivative = {0.51f, 2},
  };

  template <class V>
  static HALFWAVE_INLINE V forward(V x) {
    using K = SeluConstants<typename V::Scalar>;
    const FallingExpm1<V> e(x);
    const V falling = fma(e.high, V(K::scale_alpha), fma(e.high, V(K::scale_alpha_low), e.low() * V(K::scale_alpha)));
    return select(x >= V(0), fma(x, V(K::scale), x * V(K::scale_low)), falling);
  }
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x) {
    using K = SeluConstants<typename V::Scalar>;
    const V low = K::scale_alpha_low / K::scale_alpha;
    V falling = Exp<V>(x).times(V(K::scale_alpha), low);
    const auto rare = x < V(Exp<V>::lowest);
    if (any(rare)) [[unlikely]]
      falling = select(rare, Exp<V>::extreme(V(K::scale_alpha), x, low), falling);
    return g * select(x > V(0), V(K::scale), falling);
  }
  template <class V>
  static HALFWAVE_INLINE V backward_from_output(V g, V y) {
    using K = SeluConstants<typename V::Scalar>;
    const V falling = max(V(0), (y + V(K::scale_alpha)) + V(K::scale_alpha_low));
    return g * select(y > V(0), V(K::scale), falling);
  }
  static HALFWAVE_INLINE Wide second_derivative(Wide x) {
    using K = SeluConstants<double>;
    return curved(x <= Wide(0), times_exp(Wide(K::scale_alpha), x, Wide(K::scale_alpha_low / K::scale_alpha)), x);
  }
};

struct Celu {
  static constexpr Info info{
      .name = "celu",
      .title = "Continuously differentiable exponential linear unit.",
      .formula = "x if x > 0 else alpha * (exp(x / alpha) - 1)",
      .derivative = "1 if x > 0 else exp(x / alpha)",
      .curvature = "0 if x > 0 else exp(x / alpha) / alpha",
      .kink = "Smooth at 0, where the derivative is 1.",
      .source = "J. T. Barron, Continuously differentiable exponential linear units, 2017, arXiv:1704.07483.",
      .parameters = {{.name = "alpha",
                      .meaning = "minus the limit at -inf if positive, any number but 0",
                      .value = 1.0}},
      .domain = {"alpha must not be 0", [](const double* p) { return p[0] != 0; }},
      .from_output_domain = {"alpha must be > 0: only then does the sign of y tell that of x",
                             [](const double* p) { return !(p[0] <= 0); }},
      .from_output = "1 if y > 0 else (y + alpha) / alpha; far below 0, y has lost the digits of exp(x / alpha)",
      .forward = {1, 1.5, Doubt::never, Doubt::beyond_range_away},
      .backward = {1, 1.5, Doubt::beyond_range_away},
      .backward_from_output = {1, 1, Doubt::never},
      .second_derivative = {0.51f, 2},
  };

  // With the default of 1 it is elu. Else x / alpha = t + low, and low = rest / alpha, where rest is exact.
  template <class V>
  struct Quotient {
    V t, rest, low;
    HALFWAVE_INLINE Quotient(V x, V alpha) {
      const V negative = min(V(0), x);
      t = clip_magnitude(negative / alpha, ExpRange<typename V::Scalar>::any);
      const V residual = fnma(t, alpha, negative);
      rest = select(abs(t) < V(ExpRange<typename V::Scalar>::any), residual, V(0));
      low = rest * clip(V(1) / alpha, -largest_finite<V>(), largest_finite<V>());
    }
  };

  // alpha * expm1(t + low) = alpha * expm1(t) + rest * e^t. A negative alpha makes t positive, and perhaps large.
  template <class V>
  static HALFWAVE_INLINE V forward(V x, V alpha) {
    if (!any(not_one(alpha))) return Elu::forward(x, alpha);
    const Quotient<V> q(x, alpha);
    const FallingExpm1<V> e(q.t);
    V curved = fma(alpha, e.high, fma(alpha, e.low(), fma(q.rest, e.high, q.rest)));
    const auto large = q.t > V(16);
    if (any(large)) [[unlikely]] {
      const V rising = Exp<V>(q.t).times(alpha, q.low, -alpha);
      const V steep = Exp<V>::extreme(alpha, q.t, q.low);
      curved = select(large, select(q.t > V(-Exp<V>::lowest), steep, rising), curved);
    }
    return select(x >= V(0), x, select(not_one(alpha), curved, e.high));
  }
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x, V alpha) {
    if (!any(not_one(alpha))) return Elu::backward(g, x, alpha);
    const Quotient<V> q(x, alpha);
    const Exp<V> e(q.t);
    V curved = select(not_one(alpha), e.times(V(1), q.low), e.value());
    const auto rare = abs(q.t) > V(-Exp<V>::lowest);
    if (any(rare)) [[unlikely]]
      curved = select(rare, Exp<V>::extreme(V(1), q.t, q.low), curved);
    return select(x > V(0), g, product(g, curved));
  }
  template <class V>
  static HALFWAVE_INLINE V backward_from_output(V g, V y, V alpha) {
    const auto by_quotient = [&]() HALFWAVE_INLINE_LAMBDA {
      const V inside = max(-alpha, y);
      const V sum = alpha + inside, sum_low = inside - (sum - alpha);
      const V q = sum / alpha;
      const V q_low = (fnma(q, alpha, sum) + sum_low) * clip(V(1) / alpha, -largest_finite<V>(), largest_finite<V>());
      return select(y > V(0), g, product(g, q + q_low));
    };
    return unless_one(alpha, by_quotient,
                      [&]() HALFWAVE_INLINE_LAMBDA { return Elu::backward_from_output(g, y, alpha); });
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
  static HALFWAVE_INLINE Wide second_derivative(Wide x, Wide alpha) {
    const Quotient<Wide> q(x, alpha);
    const Wide reciprocal = Wide(1) / alpha;
    return curved(x <= Wide(0), times_exp(reciprocal, q.t, q.low + fnma(reciprocal, alpha, Wide(1))), x);
  }
};

// The two terms of its sums cancel at roots that move with the parameters, so that float results are computed in double.
struct Xielu {
  static constexpr Info info{
      .name = "xielu",
      .title = "Expanded integral of the exponential linear unit.",
      .formula = "alpha_p * x**2 + beta * x if x > 0 else alpha_n * (exp(x) - 1 - x) + beta * x",
      .derivative = "2 * alpha_p * x + beta if x > 0 else alpha_n * (exp(x) - 1) + beta",
      .curvature = "2 * alpha_p if x > 0 else alpha_n * exp(x)",
      .kink = "Smooth at 0, where the derivative is beta.",
      .source = "A. H. Huang and I. Schlag, Deriving activation functions using integration, 2024, arXiv:2411.13010.",
      .note = "Error bounds are relative to the result in float32; in float64, near the roots, which move with the "
              "parameters, to the larger of the two terms.",
      .parameters = {{.name = "alpha_p", .meaning = "curvature for x > 0, any real number", .value = 0.8},
                     {.name = "alpha_n",
                      .meaning = "weight of the exponential for x <= 0, any real number",
                      .value = 0.8},
                     {.name = "beta", .meaning = "slope at 0, any real number", .value = 0.5}},
      .forward = {1, 2, Doubt::at_normal_midpoints},
      .backward = {1, 2, Doubt::at_normal_midpoints},
      .second_derivative = {0.51f, 2},
  };

  // e^x = u * e^r in double, for results in float.
  struct ShortExp {
    using K = Reduction<double>;
    Wide u, r;
    explicit HALFWAVE_INLINE ShortExp(Wide x) {
      const Wide shift = Wide(K::magic + K::exponent_bias), t = fma(x, Wide(K::log2e), shift), n = t - shift;
      r = fnma(n, Wide(K::ln2_low), fnma(n, Wide(K::ln2_high), x));
      u = exponent_from_low_bits(t);
    }
    HALFWAVE_INLINE Wide series() const { return polynomial(r, Expm1<double>::tail); }
    HALFWAVE_INLINE Wide expm1() const { return fma(r * r, series(), r); }
  };

  // alpha_n * (expm1(x) - x) + beta * x; from -2 down, where x may be -inf, alpha_n * expm1(x) + (beta - alpha_n) * x.
  static HALFWAVE_INLINE Wide forward(Wide x, Wide alpha_p, Wide alpha_n, Wide beta) {
    const auto near = x > Wide(-2);
    Wide low;
    const Wide high = expm1_minus(select(near, x, Wide(0)), x, low);
    const Wide curved = fma(alpha_n, high, alpha_n * low);
    const Wide slope = select(near, beta, beta - alpha_n);
    const Wide inner = fma(alpha_p, finite_for(alpha_p, x), beta);
    return select(x > Wide(0), x * inner, fma(slope, finite_for(slope, x), curved));
  }
  // e^x - 1 - s for x <= 0 and an s of x or 0, in two parts. With u = 2^n it is (u - 1 - s) + u*r + u*(e^r - 1 - r): the first
  // term is exact but for a small u, the second cancels against it, and the third is never negative.
  static HALFWAVE_INLINE Wide expm1_minus(Wide s, Wide x, Wide& low) {
    const ExpReduction<Wide> e(max(Wide(-ExpRange<double>::normal), x));
    const Wide u = exponent_from_low_bits(e.t);
    const Wide exact = (u - Wide(1)) - s;
    const Wide linear = fma(u, e.r, exact);
    const Wide linear_low = fma(u, e.r, exact - linear);
    const Wide square = e.r * e.r, square_low = fms(e.r, e.r, square);
    const Wide series = polynomial(e.r, Expm1<double>::tail);
    const Wide tail = fma(square, series, fma(square_low, series, e.r_low));
    const Wide high = fma(u, tail, linear);
    low = fma(u, tail, linear - high) + linear_low;
    return high;
  }
  // The same for a float result.
  static HALFWAVE_INLINE Wide expm1_minus(Wide s, const ShortExp& e) {
    return fma(e.u, (e.r * e.r) * e.series(), fma(e.u, e.r, (e.u - Wide(1)) - s));
  }
  // For x <= 0 it is alpha_n * expm1(x) + beta, from -1 down alpha_n * e^x + (beta - alpha_n).
  static HALFWAVE_INLINE Wide derivative(Wide x, Wide alpha_p, Wide alpha_n, Wide beta) {
    const auto near = x > Wide(-1);
    const ExpReduction<Wide> e(x);
    const Wide u = exponent_from_low_bits(e.t);
    const Wide constant = select(near, beta, beta - alpha_n);
    Wide falling = fma(alpha_n, fma(u, e.expm1(), select(near, u - Wide(1), u)), constant);
    const auto rare = x < Wide(-ExpRange<double>::normal);
    if (any(rare)) [[unlikely]]
      falling = select(rare, Exp<Wide>::extreme(alpha_n, x, Wide(0)) + constant, falling);
    const Wide slope = alpha_p + alpha_p;
    return select(x > Wide(0), fma(slope, finite_for(slope, x), beta), falling);
  }

  // A float result needs no second words, and for a finite x no care for 0 times infinity. Clipped, x is where e^x does not count
  // beside the 1.
  static HALFWAVE_INLINE Vec<float> forward(Vec<float> x, Vec<float> alpha_p, Vec<float> alpha_n, Vec<float> beta) {
    const auto finite = [](Wide x, Wide clipped, Wide alpha_p, Wide alpha_n, Wide beta) HALFWAVE_INLINE_LAMBDA {
      const auto near = x > Wide(-2);
      const Wide curved = alpha_n * expm1_minus(select(near, x, Wide(0)), ShortExp(clipped));
      const Wide slope = select(near, beta, beta - alpha_n);
      return select(x > Wide(0), x * fma(alpha_p, x, beta), fma(slope, x, curved));
    };
    const Vec<float> clipped = max(Vec<float>(-ExpRange<float>::normal), min(Vec<float>(0), x));
    return unless(
        abs(x) > largest_finite<Vec<float>>(),
        [&]() HALFWAVE_INLINE_LAMBDA { return in_double(finite, x, clipped, alpha_p, alpha_n, beta); },
        [&]() HALFWAVE_INLINE_LAMBDA {
          return in_double([](auto... v) HALFWAVE_INLINE_LAMBDA { return forward(v...); }, x, alpha_p, alpha_n, beta);
        });
  }
  // The straight piece is one operation in float; the other ends where e^x is 0 beside any float.
  static HALFWAVE_INLINE Vec<float> derivative(Vec<float> x, Vec<float> alpha_p, Vec<float> alpha_n, Vec<float> beta) {
    using V = Vec<float>;
    const auto falling = [](Wide x, Wide alpha_n, Wide beta) HALFWAVE_INLINE_LAMBDA {
      const auto near = x > Wide(-1);
      const ShortExp e(x);
      const Wide term = fma(e.u, e.expm1(), select(near, e.u - Wide(1), e.u));
      return fma(alpha_n, term, select(near, beta, beta - alpha_n));
    };
    const V slope = alpha_p + alpha_p;
    const V rising = fma(slope, finite_for_slope(slope, x), beta);
    return select(x > V(0), rising, in_double(falling, max(V(-4 * ExpRange<float>::normal), x), alpha_n, beta));
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
  static HALFWAVE_INLINE Wide second_derivative(Wide x, Wide alpha_p, Wide alpha_n, Wide) {
    return select(x > Wide(0), alpha_p + alpha_p, curved(x <= Wide(0), times_exp(alpha_n, x), x));
  }
};

}  // namespace
}  // namespace halfwave::activations
