// Softplus and what is made of it.
#pragma once

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
      .source = "C. Dugas, Y. Bengio, F. Bélisle, C. Nadeau and R. Garcia, Incorporating second-order functional "
                "knowledge for "
                "better option pricing, NeurIPS 2000.",
      .parameters = {{.name = "beta", .meaning = "steepness, any number but 0", .value = 1.0}},
      .domain = {"beta must not be 0", [](const double* p) { return p[0] != 0; }},
      .from_output_domain = {"beta must not be 0", [](const double* p) { return p[0] != 0; }},
      .from_output = "1 - exp(-beta * y)",
      .forward = {2, 2},
      .backward = {2, 2},
      .backward_from_output = {2, 2},
  };

  // Far below 0 it is e^t / beta, where e^t may be subnormal, or 0, and the quotient not.
  template <class V>
  static HALFWAVE_INLINE V forward(V x, V beta) {
    const Exponent<V> e(beta, x);
    const SoftplusParts<V> p(e.t, e.low, -e.magnitude_low());
    V low;
    const V near = quotient(p.sum, p.sum_low, beta, low);
    const V y = select(e.t > V(DecayRange<typename V::Scalar>::largest), x, near + low);
    const auto far = e.t < V(sizeof(typename V::Scalar) == 4 ? -80.0f : -700.0f);
    if (!any(far)) return y;
    const V reciprocal = V(1) / beta;
    return select(far, times_exp(reciprocal, e.t, e.low + fnma(reciprocal, beta, V(1))), y);
  }
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x, V beta) {
    const Exponent<V> e(beta, x);
    return g * logistic_from(e.t, LogisticTail<V>(abs(e.t), e.magnitude_low()));
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
};

struct LogSigmoid {
  static constexpr Info info{
      .name = "logsigmoid",
      .title = "Logarithm of the logistic function.",
      .formula = "-log(1 + exp(-x))",
      .derivative = "sigmoid(-x)",
      .source = "R. Collobert, K. Kavukcuoglu and C. Farabet, Torch7, 2011.",
      .from_output = "1 - exp(y)",
      .forward = {2, 2},
      .backward = {2, 2},
      .backward_from_output = {2, 2},
  };

  template <class V>
  static HALFWAVE_INLINE V forward(V x) {
    const SoftplusParts<V> p(-x, V(0), V(0));
    return select(x < V(-DecayRange<typename V::Scalar>::largest), x, -(p.sum + p.sum_low));
  }
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x) {
    return g * logistic(-x);
  }
  template <class V>
  static HALFWAVE_INLINE V backward_from_output(V g, V y) {
    return g * -expm1(min(V(0), y));
  }
};

struct Mish {
  static constexpr Info info{
      .name = "mish",
      .title = "Self-regularised non-monotone activation.",
      .formula = "x * tanh(log(1 + exp(x)))",
      .derivative = "t + x * (1 - t**2) * sigmoid(x), t = tanh(log(1 + exp(x)))",
      .source = "D. Misra, Mish: a self regularized non-monotonic activation function, 2019, arXiv:1908.08681.",
      .forward = {2, 2},
      .backward = {2, 2},
  };

  // With q = e^-|x|: tanh(softplus(x)) = N / D, N = q^2 + 2q for x < 0, else 1 + 2q, and D = N + 2 or N + 2q^2. All of them
  // are kept in two parts, what the second is for being the corrected division.
  template <class V>
  struct Fraction {
    V q, q_low, n, n_low, d, d_low;

    explicit HALFWAVE_INLINE Fraction(V x) {
      const V a = min(V(ExpRange<typename V::Scalar>::normal), abs(x));
      const ExpReduction<V> e(-a);
      const V u = exponent_from_low_bits(e.t);
      const V uv = u * e.expm1();
      q = u + uv;
      q_low = (u - q) + uv;
      const V two_q = q + q;
      const auto negative = x < V(0);
      const V n_minus = fma(q, q, two_q), n_plus = V(1) + two_q;
      n = select(negative, n_minus, n_plus);
      n_low = select(negative, fma(q, q, two_q - n_minus) + (two_q + V(2)) * q_low,
                     (two_q - (n_plus - V(1))) + V(2) * q_low);
      const V d_minus = V(2) + n, d_plus = fma(two_q, q, n);
      d = select(negative, d_minus, d_plus);
      d_low = n_low + select(negative, n - (d_minus - V(2)), fma(two_q, q, n - d_plus) + V(4) * q * q_low);
    }
  };

  template <class V>
  static constexpr typename V::Scalar far_below = sizeof(typename V::Scalar) == 4 ? -20 : -42;

  template <class V>
  static HALFWAVE_INLINE V forward(V x) {
    const Fraction<V> f(x);
    const V reciprocal = V(1) / f.d;
    const V ratio = f.n * reciprocal;
    const V rest = fnma(ratio, f.d_low, fnma(ratio, f.d, f.n) + f.n_low);
    const V far = times_exp(max(V(-ExpRange<typename V::Scalar>::any), x), min(V(0), x));
    return select(x < V(far_below<V>), far, x * fma(rest, reciprocal, ratio));
  }

  // x < 0: q * A / D^2 with A = 4(x + 1) + q * (4x + 6 + q * (4 + q)), which cancels near the root.
  // x >= 0: 1 - q^2 * (2 - 4x + q * (4 - 4x + 4q)) / D^2.
  template <class V>
  static HALFWAVE_INLINE V derivative(V x) {
    const Fraction<V> f(x);
    const V reciprocal = V(1) / f.d;
    const V correction = fnma(reciprocal, f.d, V(1)) - f.d_low * reciprocal;

    const V c = fma(f.q, f.q, V(4) * f.q);
    const V c_low = fma(f.q, f.q, V(4) * f.q - c) + f.q_low * fma(V(2), f.q, V(4));
    const V bounded = max(V(far_below<V>), x);
    const V b = fma(V(4), bounded, V(6));
    const V b_low = exact_sum_low(V(4) * bounded, V(6), b);
    const V i = b + c;
    const V i_low = exact_sum_low(b, c, i) + (b_low + c_low);
    const V p = f.q * i;
    const V p_low = fms(f.q, i, p) + fma(f.q, i_low, f.q_low * i);
    const V four = V(4) * bounded, l = four + V(4);
    const V a = l + p;
    const V a_low = exact_sum_low(l, p, a) + (exact_sum_low(four, V(4), l) + p_low);
    const V k = f.q * a;
    const V k_low = fms(f.q, a, k) + fma(f.q, a_low, f.q_low * a);
    const V once = k * reciprocal;
    const V once_low = fma(k_low, reciprocal, fms(k, reciprocal, once));
    const V y = once * reciprocal;
    const V negative = y + fma(once_low, reciprocal, fma(V(2) * y, correction, fms(once, reciprocal, y)));

    const V above = min(V(ExpRange<typename V::Scalar>::normal), x);
    const V m = fma(f.q, fma(V(-4), above, fma(V(4), f.q, V(4))), fma(V(-4), above, V(2)));
    const V w = f.q * reciprocal;
    const V w_low = fma(w, correction, fma(f.q_low, reciprocal, fms(f.q, reciprocal, w)));
    const V wm = w * m;
    const V positive = V(1) - fma(wm, w, V(2) * wm * w_low);

    const V far = times_exp(max(V(-ExpRange<typename V::Scalar>::any), x) + V(1), min(V(0), x));
    const V below = select(x < V(far_below<V>), far, near_root<MishDerivativeRoot<typename V::Scalar>>(x, negative));
    return select(x >= V(0), positive, select(unordered(x, x), x, below));
  }
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x) {
    return g * derivative(x);
  }

 private:
  // a + b - s for s = a + b as rounded, exactly, whichever is larger.
  template <class V>
  static HALFWAVE_INLINE V exact_sum_low(V a, V b, V s) {
    const V b_in_s = s - a;
    return (a - (s - b_in_s)) + (b - b_in_s);
  }
};

}  // namespace
}  // namespace halfwave::activations
