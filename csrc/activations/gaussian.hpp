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
      .forward = {2, 2, Doubt::at_midpoints, Doubt::at_normal_midpoints},
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
      .backward = {2, 2, Doubt::near_midpoints, Doubt::beyond_range_away},
      .second_derivative = {0.51f, 3.5},
  };

  // (x - mu) / sigma = w + low
  template <class V>
  struct Standardised {
    V w, low;
    HALFWAVE_INLINE Standardised(V x, V mu, V sigma) {
      const V range = V(sizeof(typename V::Scalar) == 4 ? 20 : 54);  // the density is 0 beyond for every sigma
      const V d = x - mu;
      const V shifted = d - x;
      const V d_low = (x - (d - shifted)) - (mu + shifted);
      const V exact = d / sigma;
      w = clip_magnitude(exact, sizeof(typename V::Scalar) == 4 ? 20 : 54);
      low = select(abs(exact) < range, (fnma(exact, sigma, d) + d_low) / sigma, V(0));
    }
  };

  template <class V>
  static HALFWAVE_INLINE V forward(V x, V mu, V sigma) {
    if constexpr (sizeof(typename V::Scalar) == 4) {
      const V near = by_pieces(x, mu, sigma);
      const auto rare = (abs(mu) > V(0x1p16f) * sigma) | (sigma < V(0x1p-100f)) | (sigma > V(0x1p100f));
      if (any(rare)) [[unlikely]]
        return select(rare, by_formula(x, mu, sigma), near);
      return near;
    } else {
      return by_formula(x, mu, sigma);
    }
  }

  // The density times `factor`: factor * k / sigma * e^(-w^2/2), k = 1 / sqrt(2 * pi) in two parts.
  template <class V>
  static HALFWAVE_INLINE V density(V factor, V x, V mu, V sigma) {
    using K = NormalPdf<typename V::Scalar>;
    const Standardised<V> s(x, mu, sigma);
    const V a = V(K::scale) / sigma;
    const V half = V(-0.5f) * s.w;
    const V exponent = half * s.w;
    const V a_low = fma(fnma(a, sigma, V(K::scale)), V(1 / K::scale), V(K::log_low));
    return times_exp(a * factor, exponent, fnma(s.w, s.low, fms(half, s.w, exponent)) + a_low);
  }
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x, V mu, V sigma) {
    return product(g, density(V(1), x, mu, sigma));
  }
  template <class V>
  static HALFWAVE_INLINE void parameter_terms(V* terms, V g, V x, V mu, V sigma) {
    terms[0] = product(g, -density(V(1), x, mu, sigma));
    terms[1] = product(g, -density(Standardised<V>(x, mu, sigma).w, x, mu, sigma));
  }
  static HALFWAVE_INLINE Wide second_derivative(Wide x, Wide mu, Wide sigma) {
    const Standardised<Wide> s(x, mu, sigma);
    const Wide ratio = s.w / sigma;
    const Wide lost = (fnma(ratio, sigma, s.w) + s.low) / s.w;  // of the factor, relative to it
    const Wide y = density(-ratio, x, mu, sigma);
    return fma(y, select(abs(lost) < Wide(1), lost, Wide(0)), y);
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
  // Clipping x to mu +- 16 sigma, where the tail is 0, spares all that follows any care. d + d_low = x - mu, and
  // d / sigma = w + what is left of d. The density moves the tail by low, and is itself e^(-w^2/2) times a constant.
  template <class V>
  static HALFWAVE_INLINE V by_pieces(V x, V mu, V sigma) {
    using T = typename V::Scalar;
    using K = NormalTailPieces<T>;
    const V reciprocal = V(1) / sigma;
    const V near = max(fma(V(-16), sigma, mu), min(fma(V(16), sigma, mu), x));
    const V d = near - mu, shifted = d - near;
    const V d_low = (near - (d - shifted)) - (mu + shifted);
    const V w = d * reciprocal;
    const ScaledDecay<V> decay(V(0.5f) * w, w);
    const V moved = (fnma(w, sigma, d) + d_low) * (V(-NormalPdf<T>::scale) * reciprocal);

    const V t = abs(w), index = quarter_octave(fma(t, V(K::steps), V(2)));
    const V h = t - lookup(K::tail_centre, index);
    const V rest = fma(polynomial_from<1>(h, index, K::tail), h, times_sign(moved, w));
    const V tail = decay.times(lookup(K::tail[0], index), rest);
    return select(w >= V(0), fnma(tail, V(decay.unscale), V(1)), tail * V(decay.unscale));
  }
};

}  // namespace
}  // namespace halfwave::activations
