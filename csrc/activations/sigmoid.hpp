// The logistic function, what is gated by it, and the hyperbolic tangent.
#pragma once

#include "../math/curvature.hpp"
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
      .curvature = "-sigmoid(x) * sigmoid(-x) * tanh(x / 2)",
      .source = "P.-F. Verhulst, Notice sur la loi que la population suit dans son accroissement, 1838.",
      .from_output =
          "y * (1 - y) for y in [0, 1]; as y nears 1 it has lost the digits of 1 - y, and the derivative with it",
      .forward = {2, 2, Doubt::never, Doubt::exact_is_before},
      .backward = {1, 2, Doubt::beyond_range},
      .backward_from_output = {1.5f, 2, Doubt::never},
      .second_derivative = {2.5, 3, Doubt::exact_is_before},
  };

  template <class V>
  static HALFWAVE_INLINE V forward(V x) {
    return quick_logistic(x);
  }
  static HALFWAVE_INLINE Vec<float> forward_narrow(Vec<float> x) { return narrow_logistic(x); }
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x) {
    return g * logistic_slope(LogisticTail<V>(abs(x)), 1);
  }
  static HALFWAVE_INLINE Vec<float> backward_narrow(Vec<float> g, Vec<float> x) { return g * narrow_logistic_slope(x); }
  template <class V>
  static HALFWAVE_INLINE V backward_from_output(V g, V y) {
    const V inside = max(V(0), min(V(1), y));
    return g * (inside * (V(1) - inside));
  }
  template <class V>
  static HALFWAVE_INLINE V second_derivative(V x) {
    return logistic_curvature(1, x);
  }
};

struct Silu {
  static constexpr Info info{
      .name = "silu",
      .title = "Sigmoid linear unit, also called swish.",
      .formula = "x * sigmoid(x)",
      .derivative = "s * (1 + x * (1 - s)), s = sigmoid(x)",
      .curvature = "s * (1 - s) * (2 - x * tanh(x / 2)), s = sigmoid(x)",
      .source = "S. Elfwing, E. Uchibe and K. Doya, Sigmoid-weighted linear units for neural network function "
                "approximation in reinforcement learning, 2017, arXiv:1702.03118.",
      .forward = {2, 2, Doubt::exact_is_above, Doubt::at_normal_midpoints},
      .backward = {2, 2, Doubt::beyond_range},
      .second_derivative = {2.5, 3, Doubt::beyond_range_away},
  };

  template <class V>
  static HALFWAVE_INLINE V forward(V x) {
    const LogisticTail<V> f(abs(x));
    return quick_gate(x, f.a, f);
  }
  static HALFWAVE_INLINE Vec<float> forward_narrow(Vec<float> x) { return narrow_gate(x); }
  // silu'(x) + silu'(-x) = 1
  template <class V>
  static HALFWAVE_INLINE V derivative(V x) {
    using T = typename V::Scalar;
    const auto by_formula = [&] {
      const LogisticTail<V> f(abs(x));
      return near_root<SiluDerivativeRoot<T>>(-abs(x), gate_slope(f, f.a));
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
  static HALFWAVE_INLINE Vec<float> backward_narrow(Vec<float> g, Vec<float> x) { return g * narrow_gate_slope(x); }
  template <class V>
  static HALFWAVE_INLINE V second_derivative(V x) {
    return gate_curvature(V(1), V(0), min(V(ExpRange<typename V::Scalar>::any), abs(x)), V(0));
  }
};

struct Swish {
  static constexpr Info info{
      .name = "swish",
      .title = "Sigmoid linear unit with a learned steepness.",
      .formula = "x * sigmoid(beta * x)",
      .derivative = "s * (1 + beta * x * (1 - s)), s = sigmoid(beta * x)",
      .curvature = "beta * s * (1 - s) * (2 - beta * x * tanh(beta * x / 2)), s = sigmoid(beta * x)",
      .source = "P. Ramachandran, B. Zoph and Q. V. Le, Searching for activation functions, 2017, arXiv:1710.05941.",
      .parameters = {{.name = "beta", .meaning = "steepness, any real number; 0 gives x / 2", .value = 1.0}},
      .forward = {2, 2, Doubt::exact_is_above, Doubt::at_normal_midpoints},
      .backward = {2, 2, Doubt::beyond_range},
      .second_derivative = {3.5, 3.5, Doubt::beyond_range},
  };

  template <class V>
  static HALFWAVE_INLINE V forward(V x, V beta) {
    return unless_one(
        beta, [&]() HALFWAVE_INLINE_LAMBDA { return steeper(x, beta); },
        [&]() HALFWAVE_INLINE_LAMBDA { return Silu::forward(x); });
  }
  static HALFWAVE_INLINE Vec<float> forward_narrow(Vec<float> x, Vec<float> beta) {
    return unless_one(
        beta, [&]() HALFWAVE_INLINE_LAMBDA { return steeper(x, beta); },
        [&]() HALFWAVE_INLINE_LAMBDA { return Silu::forward_narrow(x); });
  }
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x, V beta) {
    return g * unless_one(
                   beta, [&]() HALFWAVE_INLINE_LAMBDA { return steeper_derivative(x, beta); },
                   [&]() HALFWAVE_INLINE_LAMBDA { return Silu::derivative(x); });
  }
  static HALFWAVE_INLINE Vec<float> backward_narrow(Vec<float> g, Vec<float> x, Vec<float> beta) {
    return g * unless_one(
                   beta, [&]() HALFWAVE_INLINE_LAMBDA { return steeper_derivative(x, beta); },
                   [&]() HALFWAVE_INLINE_LAMBDA { return narrow_gate_slope(x); });
  }

  // In float, for a beta at which clipping x to where the tail is 0 spares all that follows any care. A beta of 1 is `rare`
  // too, for it has less to compute.
  static HALFWAVE_INLINE Vec<float>::Mask rare(Vec<float> beta) {
    using V = Vec<float>;
    return (beta < V(0x1p-8f)) | (beta > V(0x1p60f)) | unordered(beta, beta) | (beta == V(1));
  }
  static HALFWAVE_INLINE Vec<float> forward_ordinary(Vec<float> x, Vec<float> beta) {
    const Clipped c(x, beta);
    return quick_gate(x, c.m, c.tail());
  }
  static HALFWAVE_INLINE Vec<float> backward_ordinary(Vec<float> g, Vec<float> x, Vec<float> beta) {
    return g * derivative_ordinary(x, beta);
  }
  // In double there is a leaner form for a beta of 1 alone.
  static HALFWAVE_INLINE Vec<double>::Mask rare(Vec<double> beta) { return not_one(beta); }
  static HALFWAVE_INLINE Vec<double> forward_ordinary(Vec<double> x, Vec<double>) { return Silu::forward(x); }
  static HALFWAVE_INLINE Vec<double> backward_ordinary(Vec<double> g, Vec<double> x, Vec<double>) {
    return Silu::backward(g, x);
  }

  // Both in one branch: only there does the compiler compute once what they have in common.
  template <class V>
  struct WithDerivative {
    V value, derivative;
    friend HALFWAVE_INLINE WithDerivative select(typename V::Mask m, WithDerivative a, WithDerivative b) {
      return {select(m, a.value, b.value), select(m, a.derivative, b.derivative)};
    }
  };
  template <class V>
  static HALFWAVE_INLINE WithDerivative<V> with_derivative(V x, V beta) {
    return unless_one(
        beta, [&]() HALFWAVE_INLINE_LAMBDA { return WithDerivative<V>{steeper(x, beta), steeper_derivative(x, beta)}; },
        [&]() HALFWAVE_INLINE_LAMBDA { return WithDerivative<V>{Silu::forward(x), Silu::derivative(x)}; });
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
  template <class V>
  static HALFWAVE_INLINE V second_derivative(V x, V beta) {
    const Exponent<V> e(beta, x);
    return gate_curvature(beta, V(0), e.magnitude(), e.magnitude_low());
  }

 private:
  // m = |x|, clipped, and a + low = beta * m.
  struct Clipped {
    using V = Vec<float>;
    V m, a, low;
    HALFWAVE_INLINE Clipped(V x, V beta) {
      m = min(V(LogisticRange<float>::largest) / beta, abs(x));
      a = m * beta;
      low = fms(m, beta, a);
    }
    HALFWAVE_INLINE LogisticTail<V> tail() const { return {LogisticTail<V>::InRange{}, a, low}; }
  };

  template <class V>
  static HALFWAVE_INLINE V steeper(V x, V beta) {
    const auto extreme = [&]() HALFWAVE_INLINE_LAMBDA { return steeper_at_any_beta(x, beta); };
    if constexpr (sizeof(typename V::Scalar) == 4)
      return unless(rare(beta), [&]() HALFWAVE_INLINE_LAMBDA { return forward_ordinary(x, beta); }, extreme);
    else
      return extreme();
  }
  // Where sigmoid(-a) is so small that it is e^-a, and beyond the range of LogisticTail, a factor x may still make it count.
  template <class V>
  static HALFWAVE_INLINE V steeper_at_any_beta(V x, V beta) {
    using T = typename V::Scalar;
    const Exponent<V> e(beta, x);
    const V a = e.magnitude(), low = e.magnitude_low();
    const LogisticTail<V> f(a, low);
    const V tail = f.u * f.q, once = x * tail;
    V part = fma(x, tail, once * f.correction);
    const auto infinite = abs(x) > largest_finite<V>();
    if (any(infinite)) [[unlikely]]
      part = select(infinite, once, part);
    const auto far = a >= V(sizeof(T) == 4 ? 80.0f : 700.0f);
    if (any(far)) [[unlikely]] {
      const V finite = max(-largest_finite<V>(), min(largest_finite<V>(), x));
      part = select(far, Exp<V>::extreme(finite, -a, -low), part);
    }
    return select(e.t > V(0), x - part, part);
  }
  static HALFWAVE_INLINE Vec<float> derivative_ordinary(Vec<float> x, Vec<float> beta) {
    const Clipped c(x, beta);
    return mirrored(x, by_pieces<SiluSlope<float>>(c.a, c.low, [&] { return slope_by_formula(c.a, c.low, c.tail()); }));
  }
  template <class V>
  static HALFWAVE_INLINE V steeper_derivative(V x, V beta) {
    const auto at_any_beta = [&]() HALFWAVE_INLINE_LAMBDA { return steeper_derivative_at_any_beta(x, beta); };
    if constexpr (sizeof(typename V::Scalar) == 4)
      return unless(rare(beta), [&]() HALFWAVE_INLINE_LAMBDA { return derivative_ordinary(x, beta); }, at_any_beta);
    else
      return at_any_beta();
  }
  template <class V>
  static HALFWAVE_INLINE V steeper_derivative_at_any_beta(V x, V beta) {
    using T = typename V::Scalar;
    const Exponent<V> e(beta, x);
    const V a = e.magnitude(), low = e.magnitude_low();
    const auto by_formula = [&] { return slope_by_formula(a, low, LogisticTail<V>(a, low)); };
    if constexpr (sizeof(T) == 4)
      return mirrored(e.t, by_pieces<SiluSlope<T>>(a, low, by_formula));
    else
      return mirrored(e.t, by_formula());
  }
  template <class V>
  static HALFWAVE_INLINE V slope_by_formula(V a, V low, const LogisticTail<V>& f) {
    return near_root<SiluDerivativeRoot<typename V::Scalar>>(-a, -low, gate_slope(f, f.a, low));
  }
};

struct QuickGelu {
  static constexpr int unroll = 4;
  static constexpr Info info{
      .name = "quick_gelu",
      .title = "Approximation of GELU by a sigmoid.",
      .formula = "x * sigmoid(1.702 * x)",
      .derivative = "s * (1 + 1.702 * x * (1 - s)), s = sigmoid(1.702 * x)",
      .curvature = "1.702 * s * (1 - s) * (2 - t * tanh(t / 2)), t = 1.702 * x, s = sigmoid(t)",
      .source = "D. Hendrycks and K. Gimpel, Gaussian error linear units, 2016, arXiv:1606.08415.",
      .forward = {1.25f, 2, Doubt::exact_is_above},
      .backward = {1, 2, Doubt::beyond_range_away},
      .second_derivative = {3.25f, 3.5, Doubt::near_midpoints, Doubt::beyond_range_away},
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
    HALFWAVE_INLINE LogisticTail<V> tail() const { return {typename LogisticTail<V>::InRange{}, a, low}; }
  };

  template <class V>
  static HALFWAVE_INLINE V forward(V x) {
    const Argument<V> t(x);
    return gate(x, t.m, t.tail());
  }
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x) {
    using T = typename V::Scalar;
    const auto by_formula = [&]() HALFWAVE_INLINE_LAMBDA { return slope_by_formula(Argument<V>(x)); };
    if constexpr (sizeof(T) == 4)
      return g * mirrored(x, piecewise<QuickGeluSlope<T>>(abs(x), by_formula));
    else
      return g * mirrored(x, by_formula());
  }
  template <class V>
  static HALFWAVE_INLINE V slope_by_formula(const Argument<V>& t) {
    const LogisticTail<V> f(typename LogisticTail<V>::Precisely{}, t.a, t.low);
    return near_root<QuickGeluDerivativeRoot<typename V::Scalar>>(-t.m, gate_slope(f, t.a, t.low));
  }
  template <class V>
  static HALFWAVE_INLINE V second_derivative(V x) {
    const Argument<V> t(x);
    using K = QuickGeluConstants<typename V::Scalar>;
    return gate_curvature(V(K::beta), V(K::beta_low), t.a, t.low);
  }
};

// quick_gelu where it gates: in float it and its derivative are within 2.1 ULP instead of 1, for the product that they are part
// of rounds again, and share the exponential.
struct QuickGeluGate : QuickGelu {
  template <class V>
  static HALFWAVE_INLINE V forward(V x) {
    const Argument<V> t(x);
    return quick_gate(x, t.m, t.tail());
  }
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x) {
    if constexpr (sizeof(typename V::Scalar) == 4) {
      const Argument<V> t(x);
      return g * mirrored(x, by_pieces<SiluSlope<float>>(t.a, t.low, [&] { return slope_by_formula(t); }));
    } else {
      return QuickGelu::backward(g, x);
    }
  }
};

struct GeluTanh {
  static constexpr Info info{
      .name = "gelu_tanh",
      .title = "Approximation of GELU by a hyperbolic tangent.",
      .formula = "x / 2 * (1 + tanh(u)), u = sqrt(2 / pi) * (x + 0.044715 * x**3)",
      .derivative = "s * (1 + x * (1 - s) * 2 * du/dx), s = sigmoid(2 * u)",
      .curvature = "s * (1 - s) * (4 * t' - 2 * t'(0) - x * t'**2 * tanh(t / 2)), t = 2 * u, s = sigmoid(t)",
      .source = "D. Hendrycks and K. Gimpel, Gaussian error linear units, 2016, arXiv:1606.08415.",
      .forward = {2, 2, Doubt::at_midpoints, Doubt::exact_is_above},
      .backward = {1, 2, Doubt::at_normal_midpoints, Doubt::beyond_range_away},
      .second_derivative = {0.51f, 3.5},
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
    // A + b*m^2 in two parts
    HALFWAVE_INLINE V factor(typename V::Scalar b, typename V::Scalar b_low, V& low) const {
      const V h = fma(square, V(b), V(K::a));
      low = fma(square, V(b), V(K::a) - h) + fma(square, V(b_low), fma(square_low, V(b), V(K::a_low)));
      return h;
    }
    HALFWAVE_INLINE V product_with(typename V::Scalar b, typename V::Scalar b_low, V& low) const {
      V h_low;
      const V h = factor(b, b_low, h_low);
      const V p = m * h;
      low = fma(m, h_low, fms(m, h, p));
      return p;
    }
    // e^(-2u)
    HALFWAVE_INLINE ScaledDecay<V> decay() const {
      V h_low;
      const V h = factor(K::b, K::b_low, h_low);
      return {m, h, m, h_low};
    }
    HALFWAVE_INLINE V twice_u(V& low) const { return product_with(K::b, K::b_low, low); }
    HALFWAVE_INLINE V slope(V& low) const { return product_with(K::b3, K::b3_low, low); }
  };

  template <class V>
  static HALFWAVE_INLINE V forward(V x) {
    const Argument<V> t(x);
    V low;
    const V a = t.twice_u(low);
    return quick_gate(x, t.m, LogisticTail<V>(a, low));
  }
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x) {
    const Argument<V> t(x);
    if constexpr (sizeof(typename V::Scalar) == 4)
      return g * mirrored(x, slope_by_pieces(t));
    else
      return g * mirrored(x, slope_by_formula(x, t));
  }

  // With t = 2u, t' = A + 3*B*x^2 and v = x*t', it is sigmoid'(t) * (t' * (4 - v * tanh(t/2)) - 2A), tanh(t/2) being
  // 1 - 2 * sigmoid(-t). The terms cancel near the root, and are kept in two parts.
  static HALFWAVE_INLINE Wide second_derivative(Wide x) {
    using K = GeluTanhConstants<double>;
    const Argument<Wide> t(x);
    Wide a_low, v_low, slope_low;
    const Wide a = t.twice_u(a_low), v = t.slope(v_low), slope = t.factor(K::b3, K::b3_low, slope_low);
    const LogisticTail<Wide> f(a, a_low);

    const Wide twice = v + v, lower = f.quotient() * f.u;
    const Wide linear = Wide(4) - v, rising = twice * lower;
    const Wide sum = linear + rising;
    const Wide sum_low = (((Wide(4) - linear) - v) - v_low) +
                         ((rising - (sum - linear)) + fma(v_low + v_low, lower, fms(twice, lower, rising)));
    const Wide p = slope * sum;
    const Wide p_low = fma(slope, sum_low, fma(slope_low, sum, fms(slope, sum, p)));
    const Wide bracket = (p - Wide(2 * K::a)) + (p_low - Wide(2 * K::a_low));
    const Wide near = near_root<GeluTanhSecondDerivativeRoot<double>>(t.m, bracket * logistic_slope(f, 1));
    return with_tail(near, Wide(1), bracket, a, a_low);
  }

 private:
  // At -m, e^(-2u) times what varies slowly.
  template <class V>
  static HALFWAVE_INLINE V slope_by_pieces(const Argument<V>& t) {
    using K = GeluTanhSlope<typename V::Scalar>;
    const V index = half_octave(fma(V(2), t.m, V(2)));
    V v_low;
    const V v = polynomial_parts(t.m - lookup(K::slope_centre, index), index, K::slope, K::slope_low, v_low);
    const ScaledDecay<V> decay = t.decay();
    return decay.times(v, v_low) * V(decay.unscale);
  }
  template <class V>
  static HALFWAVE_INLINE V slope_by_formula(V x, const Argument<V>& t) {
    V a_low, v_low;
    const V a = t.twice_u(a_low);
    const V v = t.slope(v_low);
    const V far = gate_slope(LogisticTail<V>(a, a_low), v, v_low);
    return near_root<GeluTanhDerivativeRoot<typename V::Scalar>>(x, far);
  }
};

// gelu_tanh where it gates. In float it and its derivative, which is within 3 ULP instead of 1, share the exponential.
struct GeluTanhGate : GeluTanh {
  // With e = e^(-2u) it is max(x, 0) - m * e / (1 + e).
  template <class V>
  static HALFWAVE_INLINE V forward(V x) {
    if constexpr (sizeof(typename V::Scalar) == 4) {
      const Argument<V> t(x);
      const ScaledDecay<V> decay = t.decay();
      const V p = decay.p(), n = t.m * decay.u;
      return max(V(-0.0f), x) - fma(n, p, n) / (fma(decay.u, p, decay.u) + V(1 / decay.unscale));
    } else {
      return GeluTanh::forward(x);
    }
  }
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x) {
    if constexpr (sizeof(typename V::Scalar) == 4) {
      using K = GeluTanhSlope<float>;
      const Argument<V> t(x);
      const ScaledDecay<V> decay = t.decay();
      const V index = half_octave(fma(V(2), t.m, V(2)));
      static constexpr auto first = sums(K::slope[0], K::slope_low[0]);  // the first word is 0 at the zero
      const V v = polynomial(t.m - lookup(K::slope_centre, index), index, lookup(first.c, index), K::slope);
      return g * mirrored(x, fma(v, decay.p(), v) * decay.u * V(decay.unscale));
    } else {
      return GeluTanh::backward(g, x);
    }
  }
};

struct Tanh {
  static constexpr Info info{
      .name = "tanh",
      .title = "Hyperbolic tangent.",
      .formula = "tanh(x)",
      .derivative = "1 - tanh(x)**2",
      .curvature = "-2 * tanh(x) * (1 - tanh(x)**2)",
      .source = "Y. LeCun, L. Bottou, G. B. Orr and K.-R. Müller, Efficient backprop, 1998.",
      .from_output = "(1 - y) * (1 + y) for y in [-1, 1]; as |y| nears 1 it has lost the digits of 1 - |y|, and the "
                     "derivative with it",
      .forward = {1, 1, Doubt::never, Doubt::beyond_range_away},
      .backward = {1, 2, Doubt::exact_is_before, Doubt::beyond_range_away},
      .backward_from_output = {1.5f, 2, Doubt::never},
      .second_derivative = {2.5, 3, Doubt::beyond_range_away},
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
  // tanh''(x) = 8 * sigmoid''(2x)
  template <class V>
  static HALFWAVE_INLINE V second_derivative(V x) {
    return logistic_curvature(8, x + x);
  }
};

}  // namespace
}  // namespace halfwave::activations
