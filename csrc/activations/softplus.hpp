// Softplus and what is made of it.
#pragma once

#include "../math/curvature.hpp"
#include "../math/log1p.hpp"
#include "../math/logistic.hpp"
#include "info.hpp"

namespace halfwave::activations {
namespace {

struct Softplus {
  static constexpr Info info{
      .name = "softplus",
      .title = "Smooth rectifier, without a threshold beyond which it would be the identity.",
      .formula = "log(1 + exp(beta * x)) / beta",
      .derivative = "sigmoid(beta * x)",
      .curvature = "beta * s * (1 - s), s = sigmoid(beta * x)",
      .source = "C. Dugas, Y. Bengio, F. Bélisle, C. Nadeau and R. Garcia, Incorporating second-order functional "
                "knowledge for "
                "better option pricing, NeurIPS 2000.",
      .parameters = {{.name = "beta", .meaning = "steepness, any number but 0", .value = 1.0}},
      .domain = {"beta must not be 0", [](const double* p) { return p[0] != 0; }},
      .from_output_domain = {"beta must not be 0", [](const double* p) { return p[0] != 0; }},
      .from_output = "1 - exp(-beta * y)",
      .forward = {1.75f, 2, Doubt::exact_is_before, Doubt::beyond_range_away},
      .backward = {1, 2, Doubt::beyond_range, Doubt::exact_is_before},
      .backward_from_output = {1.5f, 2, Doubt::never},
      .second_derivative = {2, 2, Doubt::exact_is_before, Doubt::beyond_range_away},
  };

  template <class V>
  static HALFWAVE_INLINE V forward(V x, V beta) {
    return unless_one(
        beta, [&]() HALFWAVE_INLINE_LAMBDA { return steeper(x, beta); },
        [&]() HALFWAVE_INLINE_LAMBDA { return softplus(x); });
  }
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x, V beta) {
    return g * unless_one(
                   beta, [&]() HALFWAVE_INLINE_LAMBDA { return steeper_derivative(x, beta); },
                   [&]() HALFWAVE_INLINE_LAMBDA { return logistic(x); });
  }
  static HALFWAVE_INLINE Vec<float> backward_narrow(Vec<float> g, Vec<float> x, Vec<float> beta) {
    return g * unless_one(
                   beta, [&]() HALFWAVE_INLINE_LAMBDA { return steeper_derivative(x, beta); },
                   [&]() HALFWAVE_INLINE_LAMBDA { return narrow_logistic(x); });
  }
  template <class V>
  static HALFWAVE_INLINE V backward_from_output(V g, V y, V beta) {
    const Exponent<V> e(-beta, y);
    const V d = expm1(min(V(0), e.t));
    return g * select(e.t > V(0), V(0), fnma(e.low, d + V(1), -d));
  }
  // Minus the entropy of sigmoid(t), log1p(e^-a) + a * sigmoid(-a), by beta^2.
  template <class V>
  static HALFWAVE_INLINE void parameter_terms(V* terms, V g, V x, V beta) {
    const V unscale = V(DecayRange<typename V::Scalar>::unscale);
    const Exponent<V> e(beta, x);
    const V a_low = e.magnitude_low();
    const Decay<V> d(abs(e.t), a_low);
    const Log1pParts<V> p(d.value, d.value_low);
    // a * sigmoid(-a), scaled
    const V s = V(1) + d.value, s_low = d.value - (s - V(1));
    const V n = d.a * d.scaled;
    const V n_low = fma(d.a, d.scaled_low, fma(a_low, d.scaled, fms(d.a, d.scaled, n)));
    const V q = V(1) / s;
    const V weighted = n * q;
    const V weighted_low = (fnma(s_low, weighted, fnma(s, weighted, n)) + n_low) * q;
    const V first = weighted * unscale, second = p.log + p.near;
    const V entropy = first + second;
    const V entropy_low = positive_sum_low(first, second, entropy) +
                          (fma(weighted_low, unscale, p.near_low) + (p.near - (second - p.log)));
    V once_low, low;
    const V once = quotient(entropy, entropy_low, beta, once_low);
    const V y = quotient(once, once_low, beta, low);
    terms[0] = product(g, -(y + low));
  }
  template <class V>
  static HALFWAVE_INLINE V second_derivative(V x, V beta) {
    const Exponent<V> e(beta, x);
    return times_logistic_slope(beta, e.magnitude(), e.magnitude_low());
  }

 private:
  template <class V>
  static HALFWAVE_INLINE V steeper_derivative(V x, V beta) {
    const Exponent<V> e(beta, x);
    return logistic(e.t, LogisticTail<V>(abs(e.t), e.magnitude_low()));
  }
  // Far below 0 it is e^t / beta, where e^t may be subnormal, or 0, and the quotient not.
  template <class V>
  static HALFWAVE_INLINE V steeper(V x, V beta) {
    const Exponent<V> e(beta, x);
    const SoftplusParts<V> p(e.t, e.low, -e.magnitude_low());
    V low;
    const V near = quotient(p.sum, p.sum_low, beta, low);
    const V y = select(e.t > V(DecayRange<typename V::Scalar>::largest), x, near + low);
    const auto far = e.t < V(sizeof(typename V::Scalar) == 4 ? -80.0f : -700.0f);
    if (!any(far)) return y;
    const V reciprocal = V(1) / beta;
    return select(far, Exp<V>::extreme(reciprocal, e.t, e.low + fnma(reciprocal, beta, V(1))), y);
  }
};

struct LogSigmoid {
  static constexpr Info info{
      .name = "logsigmoid",
      .title = "Logarithm of the logistic function.",
      .formula = "-log(1 + exp(-x))",
      .derivative = "sigmoid(-x)",
      .curvature = "-sigmoid(x) * sigmoid(-x)",
      .source = "R. Collobert, K. Kavukcuoglu and C. Farabet, Torch7, 2011.",
      .from_output = "1 - exp(y)",
      .forward = {1, 2, Doubt::exact_is_before, Doubt::beyond_range_away},
      .backward = {2, 2, Doubt::beyond_range, Doubt::exact_is_before},
      .backward_from_output = {1, 2, Doubt::never},
      .second_derivative = {1.25f, 1, Doubt::exact_is_before, Doubt::beyond_range_away},
  };

  template <class V>
  static HALFWAVE_INLINE V forward(V x) {
    return -softplus(-x);
  }
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x) {
    return g * quick_logistic(-x);
  }
  static HALFWAVE_INLINE Vec<float> backward_narrow(Vec<float> g, Vec<float> x) { return g * narrow_logistic(-x); }
  template <class V>
  static HALFWAVE_INLINE V backward_from_output(V g, V y) {
    return g * -expm1(min(V(0), y));
  }
  template <class V>
  static HALFWAVE_INLINE V second_derivative(V x) {
    return times_logistic_slope(V(-1), abs(x), V(0));
  }
};

struct Mish {
  static constexpr Info info{
      .name = "mish",
      .title = "Self-regularised non-monotone activation.",
      .formula = "x * tanh(log(1 + exp(x)))",
      .derivative = "t + x * (1 - t**2) * sigmoid(x), t = tanh(log(1 + exp(x)))",
      .curvature =
          "4 * e * (4 + 8*e + 6*e**2 + 2*e**3 + x * (2 + 2*e - 3*e**2 - 2*e**3)) / (2 + 2*e + e**2)**3, e = exp(x)",
      .source = "D. Misra, Mish: a self regularized non-monotonic activation function, 2019, arXiv:1908.08681.",
      .forward = {1, 2, Doubt::at_normal_midpoints, Doubt::beyond_range_away},
      .backward = {1, 2, Doubt::at_normal_midpoints},
      .second_derivative = {0.51f, 3.5},
  };

  // tanh(softplus(x)) = h / d with e = e^x, h = e * (e + 2) and d = h + 2, each in two parts; `scaled` and h are times
  // DecayRange's scale, so that they keep their digits down to the last subnormal result.
  template <class V>
  struct Fraction {
    using Range = DecayRange<typename V::Scalar>;
    V x, e, e_low, scaled, scaled_low, h, h_low, d, d_low;

    explicit HALFWAVE_INLINE Fraction(V input) {
      x = min(V(one_above<V>), max(V(-Range::largest), input));
      const Decay<V> decay(-x, V(0));
      e = decay.value, e_low = decay.value_low;
      scaled = decay.scaled, scaled_low = decay.scaled_low;
      const V square = e * scaled, twice = scaled + scaled;
      h = square + twice;
      h_low = positive_sum_low(square, twice, h) + fma(fma(V(2), e, V(2)), scaled_low, fms(e, scaled, square));
      const V unscaled = h * V(Range::unscale);
      d = unscaled + V(2);
      d_low = fma(h_low, V(Range::unscale), positive_sum_low(unscaled, V(2), d));
    }
  };

  // From here on the function is x, and its derivative 1.
  template <class V>
  static constexpr typename V::Scalar one_above = sizeof(typename V::Scalar) == 4 ? 20 : 24;

  template <class V>
  static HALFWAVE_INLINE V forward(V x) {
    const Fraction<V> f(x);
    const V reciprocal = V(1) / f.d;
    const V ratio = f.h * reciprocal;
    const V ratio_low = (fnma(f.d, ratio, f.h) + fnma(ratio, f.d_low, f.h_low)) * reciprocal;
    const V y = f.x * ratio;
    const V low = fma(f.x, ratio_low, fms(f.x, ratio, y));
    const V below = copysign((y + low) * V(Fraction<V>::Range::unscale), x);
    return select(x > V(one_above<V>), x, below);
  }

  // e * A / d^2 with A = 4(x + 1) + e * (4x + 6 + e * (4 + e)), which cancels near the root.
  template <class V>
  static HALFWAVE_INLINE V derivative(V x) {
    const Fraction<V> f(x);
    const V reciprocal = V(1) / f.d;
    const V correction = fnma(reciprocal, f.d, V(1)) - f.d_low * reciprocal;

    const V four_e = V(4) * f.e, square = f.e * f.e, c = square + four_e;
    const V c_low = positive_sum_low(square, four_e, c) + fma(f.e_low, fma(V(2), f.e, V(4)), fms(f.e, f.e, square));
    const V four = V(4) * f.x;
    const V b = four + V(6);
    const V b_low = exact_sum_low(four, V(6), b);
    const V i = b + c;
    const V i_low = exact_sum_low(b, c, i) + (b_low + c_low);
    const V p = f.e * i;
    const V p_low = fms(f.e, i, p) + fma(f.e, i_low, f.e_low * i);
    const V l = four + V(4);
    const V a = l + p;
    const V a_low = exact_sum_low(l, p, a) + (exact_sum_low(four, V(4), l) + p_low);
    // a / d^2 first, since scaled * a could overflow.
    const V once = a * reciprocal;
    const V once_low = fma(a_low, reciprocal, fma(once, correction, fms(a, reciprocal, once)));
    const V twice = once * reciprocal;
    const V twice_low = fma(once_low, reciprocal, fma(twice, correction, fms(once, reciprocal, twice)));
    const V y = f.scaled * twice;
    const V y_low = fma(f.scaled, twice_low, fma(f.scaled_low, twice, fms(f.scaled, twice, y)));
    const V below = (y + y_low) * V(Fraction<V>::Range::unscale);
    return select(x > V(one_above<V>), V(1), near_root<MishDerivativeRoot<typename V::Scalar>>(x, below));
  }
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x) {
    return g * derivative(x);
  }
  // With c = 4 + 2x, 8 + 2x, 6 - 3x, 2 - 2x and e = e^x it is
  //
  //   4e * (c0 + e*(c1 + e*(c2 + e*c3))) / (2 + 2e + e^2)^3,
  //
  // and with v = 1/e, for x > 0, the same backwards: 4v^2 * (c3 + v*(c2 + v*(c1 + v*c0))) / (1 + 2v + 2v^2)^3. Near the two
  // roots c0, or c3, is exact.
  static HALFWAVE_INLINE Wide second_derivative(Wide x) {
    using Range = DecayRange<double>;
    const Wide t = clip_magnitude(x, Range::largest);
    const Decay<Wide> decay(abs(t), Wide(0));
    const Wide v = decay.value, v_low = decay.value_low;
    const auto rising = t > Wide(0);

    const Wide c0 = fma(Wide(2), t, Wide(4)), c1 = fma(Wide(2), t, Wide(8));
    const Wide c2 = fnma(Wide(3), t, Wide(6)), c3 = fnma(Wide(2), t, Wide(2));
    const Wide inner = fma(v, fma(v, select(rising, c0, c3), select(rising, c1, c2)), select(rising, c2, c1));
    const Wide first = select(rising, c3, c0), rest = v * inner;
    const Wide n = first + rest;
    const Wide n_low = exact_sum_low(first, rest, n) + fma(v_low, inner, fms(v, inner, rest));

    const Wide constant = select(rising, Wide(1), Wide(2)), square = select(rising, Wide(2), Wide(1));
    const Wide linear = fma(v, square, Wide(2));
    const Wide d = fma(v, linear, constant);
    const Wide d_low =
        fma(v, linear, constant - d) + fma(v, fma(v, square, Wide(2) - linear), v_low * fma(v, square, linear));
    const Wide d2 = d * d, d3 = d2 * d;
    const Wide d3_low = fma(d, fms(d, d, d2), fms(d2, d, d3)) + Wide(3) * d2 * d_low;
    const Wide reciprocal = Wide(1) / d3;
    const Wide q = n * reciprocal;
    const Wide q_low = (fnma(q, d3, n) + fnma(q, d3_low, n_low)) * reciprocal;

    const Wide power = select(rising, v * decay.scaled, decay.scaled);
    const Wide power_low =
        select(rising, fma(Wide(2) * v, decay.scaled_low, fms(v, decay.scaled, power)), decay.scaled_low);
    const Wide far = fma(q, power, fma(q, power_low, q_low * power)) * Wide(4 * Range::unscale);
    return near_root<MishSecondDerivativeLowerRoot<double>>(x,
                                                            near_root<MishSecondDerivativeUpperRoot<double>>(x, far));
  }
};

}  // namespace
}  // namespace halfwave::activations
