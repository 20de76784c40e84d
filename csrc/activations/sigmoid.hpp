// The logistic function, what is gated by it, and the hyperbolic tangent.
#pragma once

#include "../math/logistic.hpp"
#include "../math/pieces.hpp"
#include "../math/tanh.hpp"
#include "info.hpp"

namespace halfwave::activations {
namespace {

struct Sigmoid {
  static constexpr Info info{
      .name = "sigmoid",
      .title = "Logistic function.",
      .formula = "1 / (1 + exp(-x))",
      .derivative = "sigmoid(x) * sigmoid(-x)",
      .source = "P.-F. Verhulst, Notice sur la loi que la population suit dans son accroissement, 1838.",
      .from_output =
          "y * (1 - y) for y in [0, 1]; as y nears 1 it has lost the digits of 1 - y, and the derivative with it",
      .forward = {2, 2},
      .backward = {1, 2},
      .backward_from_output = {2, 2, true},
  };

  template <class V>
  static HALFWAVE_INLINE V forward(V x) {
    return logistic(x);
  }
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x) {
    return g * logistic_slope(LogisticTail<V>(abs(x)), 1);
  }
  template <class V>
  static HALFWAVE_INLINE V backward_from_output(V g, V y) {
    const V inside = max(V(0), min(V(1), y));
    return g * (inside * (V(1) - inside));
  }
};

struct Silu {
  static constexpr Info info{
      .name = "silu",
      .title = "Sigmoid linear unit, also called swish.",
      .formula = "x * sigmoid(x)",
      .derivative = "s * (1 + x * (1 - s)), s = sigmoid(x)",
      .source = "S. Elfwing, E. Uchibe and K. Doya, Sigmoid-weighted linear units for neural network function "
                "approximation in reinforcement learning, 2017, arXiv:1702.03118.",
      .forward = {1.25f, 2},
      .backward = {2, 2},
  };

  template <class V>
  static HALFWAVE_INLINE V forward(V x) {
    const LogisticTail<V> f(abs(x));
    return gate(x, f.a, f);
  }
  // silu'(x) + silu'(-x) = 1
  template <class V>
  static HALFWAVE_INLINE V derivative(V x) {
    using T = typename V::Scalar;
    const auto by_formula = [&] {
      const LogisticTail<V> f(abs(x));
      return near_root<SiluDerivativeRoot<T>>(-abs(x), gate_slope(f, f.a, V(0)));
    };
    if constexpr (sizeof(T) == 4)
      return mirrored(x, by_pieces<SiluSlope<T>>(abs(x), by_formula));
    else
      return mirrored(x, by_formula());
  }
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x) {
    return g * derivative(x);
  }
};

struct Swish {
  static constexpr Info info{
      .name = "swish",
      .title = "Sigmoid linear unit with a learned steepness.",
      .formula = "x * sigmoid(beta * x)",
      .derivative = "s * (1 + beta * x * (1 - s)), s = sigmoid(beta * x)",
      .source = "P. Ramachandran, B. Zoph and Q. V. Le, Searching for activation functions, 2017, arXiv:1710.05941.",
      .parameters = {{.name = "beta", .meaning = "steepness, any real number; 0 gives x / 2", .value = 1.0}},
      .forward = {2, 2},
      .backward = {2, 2},
  };

  // Where sigmoid(-a) is so small that it is e^-a, and beyond the range of LogisticTail, a factor x may still make it count.
  template <class V>
  static HALFWAVE_INLINE V forward(V x, V beta) {
    const Exponent<V> e(beta, x);
    const V a = e.magnitude(), low = e.magnitude_low();
    const LogisticTail<V> f(a, low);
    const V tail = f.u * f.q, once = x * tail;
    V part = fma(x, tail, once * f.correction);
    const auto infinite = abs(x) > largest_finite<V>();
    if (any(infinite)) [[unlikely]]
      part = select(infinite, once, part);
    const auto far = a >= V(LogisticRange<typename V::Scalar>::largest / 2);
    if (any(far)) {
      const V finite = max(-largest_finite<V>(), min(largest_finite<V>(), x));
      part = select(far, times_exp(finite, -a, -low), part);
    }
    return select(e.t > V(0), x - part, part);
  }
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x, V beta) {
    using T = typename V::Scalar;
    const Exponent<V> e(beta, x);
    const V a = e.magnitude(), low = e.magnitude_low();
    const auto by_formula = [&] {
      const LogisticTail<V> f(a, low);
      return near_root<SiluDerivativeRoot<T>>(-a, -low, gate_slope(f, f.a, low));
    };
    if constexpr (sizeof(T) == 4)
      return g * mirrored(e.t, by_pieces<SiluSlope<T>>(a, low, by_formula));
    else
      return g * mirrored(e.t, by_formula());
  }
  // x^2 * S * (1 - S), S = sigmoid(-a) = 2^n * q, a = |beta * x|. Half of n goes to each x.
  template <class V>
  static HALFWAVE_INLINE void parameter_terms(V* terms, V g, V x, V beta) {
    using T = typename V::Scalar;
    using K = Reduction<T>;
    const V zero_beyond = V(sizeof(T) == 4 ? T(282) : T(2165));  // the square of the largest number times e^-a
    const V finite = finite_for(beta, x);
    const V exact = abs(beta * finite), a = min(zero_beyond, exact);
    const V a_low = select(exact < zero_beyond, fms(abs(beta), abs(finite), exact), V(0));

    const V magic = V(K::magic);
    const V n = fnma(a, V(K::log2e), magic) - magic;
    const V p = fma(n, V(K::ln2_high), a) + fma(n, V(K::ln2_low), a_low);
    // q = 1 / (2^n + e^p), where 2^n, once it is small, may as well be something else that is.
    const V u = power_of_two(max(V(-100), n));
    const V v = fma(fma(p, polynomial(p, Expm1<T>::tail), V(1)), p, u);
    const V s = v + V(1), s_low = v - (s - V(1));
    const V q = V(1) / s, correction = fnma(s_low, q, fnma(s, q, V(1)));
    // As in logistic_slope.
    const V z = fnma(u, q, V(1)), lost = fnma(u, q, V(1) - z);
    const V slope = fma(q, z, q * fma(correction, fma(V(2), z, V(-1)), lost));

    const V half = fma(n, V(0.5f), magic) - magic;
    const V quarter = fma(half, V(0.5f), magic) - magic;
    const V m = (min(largest_finite<V>(), abs(x)) * power_of_two(quarter)) * power_of_two(half - quarter);
    const V f = slope * power_of_two(fnma(V(2), half, n));
    const V once = m * f, twice = once * m;
    const V low = fma(fms(m, f, once), m, fms(once, m, twice));
    terms[0] = product(g, twice + select(twice <= largest_finite<V>(), low, V(0)));
  }
};

struct QuickGelu {
  static constexpr Info info{
      .name = "quick_gelu",
      .title = "Approximation of GELU by a sigmoid.",
      .formula = "x * sigmoid(1.702 * x)",
      .derivative = "s * (1 + 1.702 * x * (1 - s)), s = sigmoid(1.702 * x)",
      .source = "D. Hendrycks and K. Gimpel, Gaussian error linear units, 2016, arXiv:1606.08415.",
      .forward = {1.5f, 2},
      .backward = {2, 2},
  };

  // 1.702 * m in two parts, for a magnitude clipped to where the tail is 0.
  template <class V>
  struct Argument {
    V m, a, low;
    explicit HALFWAVE_INLINE Argument(V x) {
      using T = typename V::Scalar;
      using K = QuickGeluConstants<T>;
      m = min(V(LogisticRange<T>::largest / K::beta), abs(x));
      a = m * V(K::beta);
      low = fma(m, V(K::beta_low), fms(m, V(K::beta), a));
    }
  };

  template <class V>
  static HALFWAVE_INLINE V forward(V x) {
    const Argument<V> t(x);
    return gate(x, t.m, LogisticTail<V>(t.a, t.low));
  }
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x) {
    using T = typename V::Scalar;
    const auto by_formula = [&] {
      const Argument<V> t(x);
      return near_root<QuickGeluDerivativeRoot<T>>(-t.m, gate_slope(LogisticTail<V>(t.a, t.low), t.a, t.low));
    };
    if constexpr (sizeof(T) == 4)
      return g * mirrored(x, by_pieces<QuickGeluSlope<T>>(abs(x), by_formula));
    else
      return g * mirrored(x, by_formula());
  }
};

struct GeluTanh {
  static constexpr Info info{
      .name = "gelu_tanh",
      .title = "Approximation of GELU by a hyperbolic tangent.",
      .formula = "x / 2 * (1 + tanh(u)), u = sqrt(2 / pi) * (x + 0.044715 * x**3)",
      .derivative = "s * (1 + x * (1 - s) * 2 * du/dx), s = sigmoid(2 * u)",
      .source = "D. Hendrycks and K. Gimpel, Gaussian error linear units, 2016, arXiv:1606.08415.",
      .forward = {1.5f, 2},
      .backward = {2, 2},
  };

  // 2u = m * (A + B*m^2), for a magnitude m clipped to where the tail is 0, and x * d(2u)/dx = m * (A + 3*B*m^2), each in two
  // parts.
  template <class V>
  struct Argument {
    using K = GeluTanhConstants<typename V::Scalar>;
    V m, square, square_low;

    explicit HALFWAVE_INLINE Argument(V x) {
      m = min(V(sizeof(typename V::Scalar) == 4 ? 10.95f : 21.7f), abs(x));
      square = m * m;
      square_low = fms(m, m, square);
    }
    HALFWAVE_INLINE V product_with(typename V::Scalar b, typename V::Scalar b_low, V& low) const {
      const V h = fma(square, V(b), V(K::a));
      const V h_low = fma(square, V(b), V(K::a) - h) + fma(square, V(b_low), fma(square_low, V(b), V(K::a_low)));
      const V p = m * h;
      low = fma(m, h_low, fms(m, h, p));
      return p;
    }
    HALFWAVE_INLINE V twice_u(V& low) const { return product_with(K::b, K::b_low, low); }
    HALFWAVE_INLINE V slope(V& low) const { return product_with(K::b3, K::b3_low, low); }
  };

  template <class V>
  static HALFWAVE_INLINE V forward(V x) {
    const Argument<V> t(x);
    V low;
    const V a = t.twice_u(low);
    return gate(x, t.m, LogisticTail<V>(a, low));
  }
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x) {
    const Argument<V> t(x);
    V a_low, v_low;
    const V a = t.twice_u(a_low);
    const V v = t.slope(v_low);
    const V far = gate_slope(LogisticTail<V>(a, a_low), v, v_low);
    const V tail = near_root<GeluTanhDerivativeRoot<typename V::Scalar>>(x, far);
    return g * mirrored(x, tail);
  }
};

struct Tanh {
  static constexpr Info info{
      .name = "tanh",
      .title = "Hyperbolic tangent.",
      .formula = "tanh(x)",
      .derivative = "1 - tanh(x)**2",
      .source = "Y. LeCun, L. Bottou, G. B. Orr and K.-R. Müller, Efficient backprop, 1998.",
      .from_output = "(1 - y) * (1 + y) for y in [-1, 1]; as |y| nears 1 it has lost the digits of 1 - |y|, and the "
                     "derivative with it",
      .forward = {1.1f, 1},
      .backward = {1, 2},
      .backward_from_output = {2, 2, true},
  };

  template <class V>
  static HALFWAVE_INLINE V forward(V x) {
    return hyperbolic_tangent(x);
  }
  // tanh'(x) = 4 * sigmoid'(2x)
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x) {
    return g * logistic_slope(LogisticTail<V>(abs(x + x)), 4);
  }
  template <class V>
  static HALFWAVE_INLINE V backward_from_output(V g, V y) {
    const V inside = max(V(-1), min(V(1), y));
    return g * ((V(1) - inside) * (V(1) + inside));
  }
};

}  // namespace
}  // namespace halfwave::activations
