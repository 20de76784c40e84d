// Rational functions and square roots.
#pragma once

#include "../math/curvature.hpp"
#include "../math/pieces.hpp"
#include "../math/reciprocal.hpp"
#include "info.hpp"

namespace halfwave::activations {
namespace {

struct SoftSign {
  static constexpr Info info{
      .name = "softsign",
      .title = "Sigmoid that approaches its limits as 1/x does.",
      .formula = "x / (1 + abs(x))",
      .derivative = "1 / (1 + abs(x))**2",
      .curvature = "-2 * sign(x) / (1 + abs(x))**3",
      .source = "X. Glorot and Y. Bengio, Understanding the difficulty of training deep feedforward neural networks, "
                "AISTATS 2010.",
      .from_output = "(1 - abs(y))**2 for y in [-1, 1]; as |y| nears 1 it has lost the digits of 1 - |y|",
      .forward = {1.5f, 1.5f, Doubt::never, Doubt::beyond_range_away},
      .backward = {2, 2, Doubt::beyond_range, Doubt::exact_is_before},
      .backward_from_output = {0.51f, 0.51f, Doubt::at_normal_midpoints, Doubt::never},
      .second_derivative = {2.25f, 2.25f, Doubt::exact_is_beyond, Doubt::exact_is_before},
  };

  static constexpr int unroll = 4;

  template <class V>
  static HALFWAVE_INLINE V forward(V x) {
    const V a = min(largest_finite<V>(), abs(x));
    return copysign(a / (V(1) + a), x);
  }
  // (1 + a)^2 is a * (a + 2) + 1, or a * a + (2a + 1): for a < 2 what the rounding of the sum changes is less in the former,
  // beyond in the latter. Scaled, the square overflows only where its reciprocal vanishes.
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x) {
    using T = typename V::Scalar;
    const V scale = V(sizeof(T) == 4 ? T(0x1p-64) : T(0x1p-512));
    const V a = abs(x), scaled = a * scale;
    const auto small = a < V(2);
    const V square = fma(scaled, select(small, a + V(2), a), select(small, scale, fma(V(2), scaled, scale)));
    return g * (scale / square);
  }
  // Within 4 ULP in float.
  static HALFWAVE_INLINE Vec<float> backward_narrow(Vec<float> g, Vec<float> x) {
    using V = Vec<float>;
    const V q = V(1) / (V(1) + abs(x));
    return g * (q * q);
  }
  template <class V>
  static HALFWAVE_INLINE V backward_from_output(V g, V y) {
    const V a = min(V(1), abs(y));
    const V rest = V(1) - a;
    const V rest_low = (V(1) - rest) - a;
    return g * fma(rest, rest, rest * (rest_low + rest_low));
  }
  template <class V>
  static HALFWAVE_INLINE V second_derivative(V x) {
    const V a = min(largest_finite<V>(), abs(x)), s = V(1) + a;
    const V q = V(1) / s, residual = fnma(positive_sum_low(V(1), a, s), q, fnma(s, q, V(1)));
    const V square = q * q;
    const V magnitude = (q + q) * fma(square, V(3) * residual, square);
    return select(x == V(0), V(0), times_sign(-magnitude, x));
  }
};

// Powers of two that bring the squares of a large or a small x, and of sqrt(b), into range.
template <class T>
struct SquareScale;
template <>
struct SquareScale<float> {
  static constexpr float large = 0x1p32f, small = 0x1p-32f, down = 0x1p-66f, up = 0x1p90f;
};
template <>
struct SquareScale<double> {
  static constexpr double large = 0x1p256, small = 0x1p-256, down = 0x1p-514, up = 0x1p700;
};

struct SquarePlus {
  static constexpr Info info{
      .name = "squareplus",
      .title = "Smooth rectifier made of a square root.",
      .formula = "(x + sqrt(x**2 + b)) / 2",
      .derivative = "(1 + x / sqrt(x**2 + b)) / 2",
      .curvature = "b / (2 * (x**2 + b)**1.5)",
      .kink = "For b = 0 it is relu, with derivative 1/2 at 0.",
      .source = "J. T. Barron, Squareplus: a softplus-like algebraic rectifier, 2021, arXiv:2112.11687.",
      .parameters = {{.name = "b", .meaning = "squared width of the bend, >= 0", .value = 4.0}},
      .domain = {"b must be >= 0", [](const double* p) { return !(p[0] < 0); }},
      .from_output_domain = {"b must be > 0: only then does y determine x",
                             [](const double* p) { return !(p[0] <= 0); }},
      .from_output = "y**2 / (y**2 + b / 4)",
      .forward = {1.4f, 1.4f, Doubt::at_normal_midpoints, Doubt::exact_is_before},
      .backward = {2, 2, Doubt::at_normal_midpoints, Doubt::beyond_range},
      .backward_from_output = {1, 1, Doubt::at_normal_midpoints, Doubt::beyond_range},
      .second_derivative = {3, 3.5, Doubt::never, Doubt::beyond_range},
  };

  // h + h_low = sqrt(a*a + b) for a >= 0, scaled where a*a would overflow or vanish.
  template <class V>
  struct Hypotenuse {
    V h, h_low;
    HALFWAVE_INLINE Hypotenuse(V a, V b) {
      using Scale = SquareScale<typename V::Scalar>;
      const auto large = a > V(Scale::large);
      const auto small = (a < V(Scale::small)) & (b < V(Scale::small * Scale::small));
      const V scale = select(large, V(Scale::down), select(small, V(Scale::up), V(1)));
      const V back = select(large, V(1 / Scale::down), select(small, V(1 / Scale::up), V(1)));
      const V as = a * scale, bs = (b * scale) * scale;
      const V square = as * as;
      const V s = square + bs;
      const V s_low = positive_sum_low(square, bs, s) + fms(as, as, square);
      const V root = sqrt(s);
      h = root * back;
      h_low =
          select((root > V(0)) & (root <= largest_finite<V>()), (fnma(root, root, s) + s_low) / (root + root), V(0)) *
          back;
    }
  };

  // Up to which |x| no square overflows or vanishes.
  template <class V>
  static HALFWAVE_INLINE V ordinary(V b) {
    using Scale = SquareScale<typename V::Scalar>;
    return select((b > V(Scale::small)) & (b < V(Scale::large)), V(Scale::large), V(-1));
  }

  // max(x, 0) + d/2, where d = sqrt(x*x + b) - |x| solves d*d + 2*|x|*d = b. A step of Newton's on that makes up for all
  // that d has lost, unless it cancels too much.
  template <class V>
  static HALFWAVE_INLINE V forward(V x, V b) {
    const V a = abs(x);
    const V h = sqrt(fma(x, x, b));
    const V d = h - a;
    const V rest = fnma(a + a, d, fnma(d, d, b));
    const V y = fma(V(0.5f), fma(rest, rough_reciprocal(h + h), d), max(V(0), x));
    const auto rare = a > min(ordinary(b), V(24) * sqrt(b));
    if (any(rare)) [[unlikely]]
      return select(rare, extreme(x, b), y);
    return y;
  }
  // For x < 0 it is b / (2 * (h + |x|)), written so that h + |x| cannot overflow.
  template <class V>
  static HALFWAVE_INLINE V extreme(V x, V b) {
    const V a = V(0.5f) * abs(x), quarter = V(0.25f) * b;
    const Hypotenuse<V> r(abs(x), b);
    const V h = V(0.5f) * r.h;
    const V half = h + a;
    const V half_low = select(half <= largest_finite<V>(), fma(V(0.5f), r.h_low, a - (half - h)), V(0));
    const V q = quarter / half;
    const V falling = q + fnma(q, half_low, fnma(q, half, quarter)) / half;
    return nan_from(b, select(x > V(0), half + half_low, select((half == V(0)) | (q == V(0)), V(0), falling)));
  }

  // With h = sqrt(x*x + b) it is b / (2 * (h*h + |x| * h)) at -|x|; both sides add up to 1.
  template <class V>
  static HALFWAVE_INLINE V derivative(V x, V b) {
    const V a = abs(x);
    const V s = fma(x, x, b), h = sqrt(s);
    const V t = fma(a, h, s), t_low = fma(a, h, s - t);
    const V r = half_precise_reciprocal(t);
    const V half = V(0.5f) * b, q = half * r;
    const V y = mirrored(x, fma(fnma(t_low, q, fnma(t, q, half)), r, q));
    const auto rare = a > ordinary(b);
    if (any(rare)) [[unlikely]]
      return select(rare, extreme_derivative(x, b), y);
    return y;
  }
  // At -|x| it is b / (2h * (h + |x|)); both sides add up to 1.
  template <class V>
  static HALFWAVE_INLINE V extreme_derivative(V x, V b) {
    const V a = min(largest_finite<V>(), abs(x));
    const Hypotenuse<V> r(a, b);
    // With k = b/h**2 <= 1 the tail is k / (2 + 2a/h): free of overflow, and each factor corrected for its rounding.
    const V ratio = a / r.h;
    const V ratio_low = (fnma(ratio, r.h, a) - ratio * r.h_low) / r.h;
    const V w = ratio + V(1);
    const V w_low = (ratio - (w - V(1))) + ratio_low;
    // k = 1 - ratio**2 = (1 - ratio) * (1 + ratio), so the tail is (1 - ratio)/2 = b / (2h**2 (1 + ratio)).
    // Scaled, so that a subnormal tail is rounded once.
    const V quotient = b / r.h, q = quotient * V(0x1p40f);
    const V q_low = (fnma(quotient, r.h, b) - quotient * r.h_low) / r.h * V(0x1p40f);
    const V k = q / r.h;
    const V k_low = (fnma(k, r.h, q) + q_low - k * r.h_low) / r.h;
    const V tail = k / w;
    const V correction = (fnma(tail, w, k) + k_low - tail * w_low) / w;
    const V t = select(r.h > V(0), (tail + correction) * V(0x1p-41f), V(0.5f));
    return nan_from(b, nan_from(x, mirrored(x, t)));
  }
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x, V b) {
    return g * derivative(x, b);
  }
  template <class V>
  static HALFWAVE_INLINE V backward_from_output(V g, V y, V b) {
    const V quarter = V(0.25f) * b;
    const V square = y * y;
    const V s = square + quarter;
    const V square_low = fms(y, y, square);
    const V s_low = positive_sum_low(square, quarter, s) + square_low;
    const V q = V(1) / s;
    const V ratio = square * q;
    const V result = fma(fnma(ratio, s_low, fnma(ratio, s, square)) + square_low, q, ratio);
    using Scale = SquareScale<typename V::Scalar>;
    const auto rare = (y <= V(Scale::small)) | (y >= V(Scale::large)) | (b <= V(Scale::small)) | (b >= V(Scale::large));
    if (any(rare)) [[unlikely]]
      return g * select(rare, extreme_from_output(y, b), result);
    return g * result;
  }
  template <class V>
  static HALFWAVE_INLINE V extreme_from_output(V y, V b) {
    const V inside = min(largest_finite<V>(), max(V(0), y) + V(0));  // -0 + 0 is +0, whose quotient has the right sign
    const V q = (V(0.25f) * b) / inside;
    const V q_low = fnma(q, inside, V(0.25f) * b) / inside;
    const V sum = inside + q;
    const V sum_low = positive_sum_low(inside, q, sum) + q_low;
    const V r = inside / sum;
    return select(sum <= largest_finite<V>(), fnma(r, sum_low / sum, r), nan_from(b, nan_from(y, V(0))));
  }
  template <class V>
  static HALFWAVE_INLINE void parameter_terms(V* terms, V g, V x, V b) {
    terms[0] = product(g, V(0.25f) / Hypotenuse<V>(abs(x), b).h);
  }
  template <class V>
  static HALFWAVE_INLINE V second_derivative(V x, V b) {
    // For a subnormal b the first quotient would be subnormal, though not the last.
    constexpr auto normalizing = typename V::Scalar(sizeof(typename V::Scalar) == 4 ? 0x1p24 : 0x1p54);
    const Hypotenuse<V> r(abs(x), b);
    const auto low = r.h < V(1);
    const V y = (((b * select(low, V(normalizing), V(1))) / r.h) / r.h) / (r.h + r.h);
    const V corrected = fnma(y, V(3) * (r.h_low / r.h), y);
    return select(r.h == V(0), V(0), corrected * select(low, V(1 / normalizing), V(1)));
  }
};

}  // namespace
}  // namespace halfwave::activations
