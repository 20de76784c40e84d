// The normal distribution and what is gated by it.
#pragma once

#include "../math/curvature.hpp"
#include "../math/normal.hpp"
#include "../math/pieces.hpp"
#include "info.hpp"

namespace halfwave::activations {
namespace {

struct Gelu {
  static constexpr Info info{
      .name = "gelu",
      .title = "Gaussian error linear unit.",
      .formula = "x * Phi(x), Phi the standard normal distribution",
      .derivative = "Phi(x) + x * phi(x), phi the standard normal density",
      .curvature = "phi(x) * (2 - x**2)",
      .source = "D. Hendrycks and K. Gimpel, Gaussian error linear units, 2016, arXiv:1606.08415.",
      .forward = {2, 2, Doubt::exact_is_above},
      .backward = {1, 2, Doubt::at_normal_midpoints, Doubt::beyond_range_away},
      .second_derivative = {3.25f, 4, Doubt::at_normal_midpoints, Doubt::beyond_range_away},
  };
  static constexpr float mills_sensitivity = 4.18f;  // of q * mills(q) to q, about
  static constexpr float slope_sensitivity = 2.4f;

  // max(x, 0) - t * Phi(-t), t = |x|
  template <class V>
  static HALFWAVE_INLINE V forward(V x) {
    using T = typename V::Scalar;
    if constexpr (sizeof(T) == 4) {
      return normal_gate(x);
    } else {
      const NormalTail<V> f(abs(x), mills_sensitivity, true);
      return fma(f.probability(f.t * f.u, V(0)), V(-NormalRange<T>::unscale), max(V(-0.0f), x));
    }
  }
  // gelu'(x) + gelu'(-x) = 1
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x) {
    using T = typename V::Scalar;
    if constexpr (sizeof(T) == 4) {
      using K = GeluSlope<T>;
      const V t = min(V(NormalRange<T>::largest), abs(x));
      const V index = half_octave(fma(V(3), t, V(3)));
      V v_low;
      const V v = polynomial_parts(t - lookup(K::slope_centre, index), index, K::slope, K::slope_low, v_low);
      const ScaledDecay<V> decay(V(0.5f) * t, t);
      return g * mirrored(x, decay.times(v, v_low) * V(decay.unscale));
    } else {
      const NormalTail<V> f(abs(x), slope_sensitivity, false);
      return g * mirrored(x, (f.gelu_slope() * f.u) * V(NormalRange<T>::unscale));
    }
  }
  // phi(x) * (2 - x^2)
  template <class V>
  static HALFWAVE_INLINE V second_derivative(V x) {
    using K = NormalPdf<typename V::Scalar>;
    const V m = clip_magnitude(x, 40);  // it is 0 beyond
    const V square = m * m, square_low = fms(m, m, square);
    return times_exp(V(K::scale) * fnma(m, m, V(2)), V(-0.5f) * square, fma(V(-0.5f), square_low, V(K::log_low)));
  }
};

// gelu where it gates. In float its derivative is within 3 ULP instead of 1, for the product that it is part of rounds again,
// and shares the exponential with the function.
struct GeluGate : Gelu {
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x) {
    if constexpr (sizeof(typename V::Scalar) == 4)
      return g * normal_gate_slope(x);
    else
      return Gelu::backward(g, x);
  }
};

struct Laplace {
  static constexpr Info info{
      .name = "laplace",
      .title = "Normal distribution function; the defaults approximate squared_relu.",
      .formula = "(1 + erf((x - mu) / (sigma * sqrt(2)))) / 2",
      .derivative = "exp(-((x - mu) / sigma)**2 / 2) / (sigma * sqrt(2 * pi))",
      .curvature = "-(x - mu) / sigma**2 times the derivative",
      .source = "X. Ma et al., Mega: moving average equipped gated attention, 2022, arXiv:2209.10655.",
      .parameters = {{.name = "mu", .meaning = "mean, any real number", .value = 0.7071067811865476},
                     {.name = "sigma", .meaning = "standard deviation, > 0", .value = 0.28209479177387814}},
      .domain = {"sigma must be > 0", [](const double* p) { return !(p[1] <= 0); }},
      .forward = {2, 2, Doubt::at_normal_midpoints, Doubt::beyond_range_away},
      .backward = {2, 2, Doubt::at_normal_midpoints, Doubt::beyond_range_away},
      .second_derivative = {0.51f, 3.5},
  };

  // (x - mu) / sigma = w + low. A tiny sigma is taken 2^lift times as large, and x - mu with it: what a division leaves would
  // underflow, and the density, which has sigma in its denominator, overflow before the exponential makes it small.
  template <class V>
  struct Standardised {
    using T = typename V::Scalar;
    static constexpr int lift = sizeof(T) == 4 ? 100 : 600;
    static constexpr T range = sizeof(T) == 4 ? 21 : 67;  // beyond, density and second derivative are 0 for every sigma
    V w, low, sigma;
    typename V::Mask tiny;

    HALFWAVE_INLINE Standardised(V x, V mu, V given)
        : sigma(given), tiny(given < V(sizeof(T) == 4 ? 0x1p-60 : 0x1p-500)) {
      V d = x - mu;
      const V shifted = d - x;
      V d_low = (x - (d - shifted)) - (mu + shifted);
      if (any(tiny)) [[unlikely]] {
        const V scale = select(tiny, V(T(sizeof(T) == 4 ? 0x1p100 : 0x1p600)), V(1));
        sigma = sigma * scale, d = d * scale, d_low = d_low * scale;
      }
      const V exact = d / sigma;
      w = clip_magnitude(exact, range);
      low = select(abs(exact) < V(range), (fnma(exact, sigma, d) + d_low) / sigma, V(0));
    }
  };

  template <class V>
  static HALFWAVE_INLINE V forward(V x, V mu, V sigma) {
    if constexpr (sizeof(typename V::Scalar) == 4) {
      const V near = forward_ordinary(x, mu, sigma);
      const auto other = rare(mu, sigma);
      if (any(other)) [[unlikely]]
        return select(other, by_formula(x, mu, sigma), near);
      return near;
    } else {
      return by_formula(x, mu, sigma);
    }
  }

  // In float, y = (x - mu) * rate / sigma makes the density 2^-(y^2) times a constant, and the tail that times what varies
  // slowly. Clipping x to where the scaled power of two is 0 spares all that follows any care, but for parameters that are
  // `rare`. d + d_low = x - mu; y + y_low is the exact value.
  static HALFWAVE_INLINE Vec<float>::Mask rare(Vec<float> mu, Vec<float> sigma) {
    using V = Vec<float>;
    return (abs(mu) > V(0x1p16f) * sigma) | (sigma < V(0x1p-40f)) | (sigma > V(0x1p60f));
  }
  struct Binary {
    using V = Vec<float>;
    using K = BinaryNormal<float>;
    using R = Reduction<float>;
    static constexpr float unscale = 0x1p-64f;
    V y, y_low, u, r;  // 2^-(y^2) = u * 2^-r * unscale

    HALFWAVE_INLINE Binary(V x, V mu, V sigma) {
      const V rate = V(K::rate) / sigma;
      const V rate_low = (fnma(rate, sigma, V(K::rate)) + V(K::rate_low)) * (rate * V(1 / K::rate));
      const V range = V(K::range / K::rate);
      const V near = max(fnma(range, sigma, mu), min(fma(range, sigma, mu), x));
      const V d = near - mu, shifted = d - near;
      const V d_low = (near - (d - shifted)) - (mu + shifted);
      y = d * rate;
      y_low = fma(d, rate_low, fma(d_low, rate, fms(d, rate, y)));
      const V shift = V(R::magic + R::exponent_bias + 64);
      const V t = fnma(y, y, shift);
      r = fma(y, y, t - shift);
      u = exponent_from_low_bits(t);
    }
  };
  static HALFWAVE_INLINE Vec<float> forward_ordinary(Vec<float> x, Vec<float> mu, Vec<float> sigma) {
    using V = Vec<float>;
    using K = BinaryNormal<float>;
    const Binary b(x, mu, sigma);
    const auto above = b.y >= V(0);
    const V t = abs(b.y), index = half_octave(fma(t, V(K::steps), V(2)));
    const V h = t - lookup(K::tail_centre, index);
    const V moved = b.y_low * select(above, V(-K::slope), V(K::slope));
    const V first = lookup(K::tail[0], index), rest = fma(polynomial_from<1>(h, index, K::tail), h, moved);
    const V decay = polynomial(b.r, K::decay) * b.r;
    const V tail = (first + fma(first + rest, decay, rest)) * b.u;
    return fma(tail, select(above, V(-b.unscale), V(b.unscale)), select(above, V(1), V(0)));
  }
  static HALFWAVE_INLINE Vec<float> backward_ordinary(Vec<float> g, Vec<float> x, Vec<float> mu, Vec<float> sigma) {
    using V = Vec<float>;
    using K = NormalPdf<float>;
    const Binary b(x, mu, sigma);
    const V a = V(K::scale) / sigma;
    const V a_low = fma(fnma(a, sigma, V(K::scale)), V(1 / K::scale), V(K::log_low));
    const V lost = fma(b.y * b.y_low, V(-2 * BinaryNormal<float>::ln2), a_low);
    // a * (1 + linear + higher) * (1 + lost)
    const V c = V(BinaryNormal<float>::decay[0]), linear = b.r * c;
    const V higher = fma(b.r * b.r, polynomial_from<1>(b.r, BinaryNormal<float>::decay), fms(b.r, c, linear));
    const V rest = higher + fma(linear + higher, lost, lost);
    const V sum = fma(a, linear, a);
    return g * (((sum + fma(a, rest, fma(a, linear, a - sum))) * b.u) * V(b.unscale));
  }

  // factor times the density, k / sigma * e^(-w^2/2), k = 1 / sqrt(2 * pi) in two parts. Where sigma is tiny, `lifts` divisions
  // by it, here and in the factor, are by the one that is too large: the exponential makes up for that.
  template <int lifts = 1, class V>
  static HALFWAVE_INLINE V density(V factor, const Standardised<V>& s) {
    using T = typename V::Scalar;
    using K = NormalPdf<T>;
    const V multiple = V(K::scale) / s.sigma;
    const V half = V(-0.5f) * s.w;
    const V exponent = half * s.w;
    const V multiple_low = fma(fnma(multiple, s.sigma, V(K::scale)), V(1 / K::scale), V(K::log_low));
    const V low = fnma(s.w, s.low, fms(half, s.w, exponent)) + multiple_low;
    const V y = times_exp(multiple * factor, exponent, low);
    if (!any(s.tiny)) return y;
    constexpr int lift = lifts * Standardised<V>::lift;
    const V lent = V(lift * Reduction<T>::ln2_high), sum = exponent + lent;
    const V lost = exact_sum_low(exponent, lent, sum) + V(lift * Reduction<T>::ln2_low);
    return select(s.tiny, times_exp(multiple * factor, sum, low + lost), y);
  }
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x, V mu, V sigma) {
    const auto by_density = [&]() HALFWAVE_INLINE_LAMBDA {
      return product(g, density(V(1), Standardised<V>(x, mu, sigma)));
    };
    if constexpr (sizeof(typename V::Scalar) == 4) {
      const V near = backward_ordinary(g, x, mu, sigma);
      const auto other = rare(mu, sigma);
      if (any(other)) [[unlikely]]
        return select(other, by_density(), near);
      return near;
    } else {
      return by_density();
    }
  }
  template <class V>
  static HALFWAVE_INLINE void parameter_terms(V* terms, V g, V x, V mu, V sigma) {
    const Standardised<V> s(x, mu, sigma);
    terms[0] = product(g, -density(V(1), s));
    terms[1] = product(g, -density(s.w, s));
  }
  static HALFWAVE_INLINE Wide second_derivative(Wide x, Wide mu, Wide sigma) {
    const Standardised<Wide> s(x, mu, sigma);
    const Wide ratio = s.w / s.sigma;
    const Wide lost = (fnma(ratio, s.sigma, s.w) + s.low) / s.w;  // of the factor, relative to it
    const Wide y = density<2>(-ratio, s);
    const auto correctable = (abs(lost) < Wide(1)) & (abs(y) > Wide(0)) & (abs(y) <= largest_finite<Wide>());
    return select(correctable, fma(y, lost, y), y);
  }

 private:
  // The density moves the tail by low.
  template <class V>
  static HALFWAVE_INLINE V by_formula(V x, V mu, V sigma) {
    using T = typename V::Scalar;
    constexpr T density_at_0 = T(0.398942280401432677939946);
    const Standardised<V> s(x, mu, sigma);
    const NormalTail<V> f(abs(s.w), Gelu::mills_sensitivity, true);
    const V low = select(s.w < V(0), -s.low, s.low);
    const V scaled = f.probability(V(1), V(-density_at_0) * low) * f.u;
    const V tail = scaled * V(NormalRange<T>::unscale);
    return mirrored(s.w, tail);
  }
};

}  // namespace
}  // namespace halfwave::activations
