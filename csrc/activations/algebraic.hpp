// Rational functions and square roots.
#pragma once

#include "../math/curvature.hpp"
#include "../math/pieces.hpp"
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
      .forward = {0.51f, 0.51f, Doubt::beyond_range_away},
      .backward = {1, 1, Doubt::beyond_range},
      .backward_from_output = {0.51f, 0.51f, Doubt::at_normal_midpoints, Doubt::never},
      .second_derivative = {0.51f, 2},
  };

  // 1 + |x| in two parts, its reciprocal as rounded, and by what factor that is too small.
  template <class V>
  struct Denominator {
    V a, s, s_low, q;
    explicit HALFWAVE_INLINE Denominator(V x) : a(min(largest_finite<V>(), abs(x))), s(V(1) + a) {
      s_low = positive_sum_low(V(1), a, s);
      q = V(1) / s;
    }
    HALFWAVE_INLINE V residual(V y, V of) const { return fnma(s_low, y, fnma(s, y, of)); }
  };

  template <class V>
  static HALFWAVE_INLINE V forward(V x) {
    const Denominator<V> d(x);
    const V y = d.a * d.q;
    return copysign(fma(d.residual(y, d.a), d.q, y), x);
  }
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x) {
    const Denominator<V> d(x);
    return g * fma(d.q, d.q, (d.q * d.q) * (V(2) * d.residual(d.q, V(1))));
  }
  template <class V>
  static HALFWAVE_INLINE V backward_from_output(V g, V y) {
    const V a = min(V(1), abs(y));
    const V rest = V(1) - a;
    const V rest_low = (V(1) - rest) - a;
    return g * fma(rest, rest, rest * (rest_low + rest_low));
  }
  static HALFWAVE_INLINE Wide second_derivative(Wide x) {
    const Denominator<Wide> d(x);
    const Wide cube = (d.q * d.q) * d.q;
    const Wide magnitude = Wide(2) * fma(cube, Wide(3) * d.residual(d.q, Wide(1)), cube);
    return select(x == Wide(0), Wide(0), times_sign(-magnitude, x));
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
      .forward = {1, 1, Doubt::at_normal_midpoints, Doubt::beyond_range},
      .backward = {1, 1, Doubt::at_normal_midpoints, Doubt::beyond_range},
      .backward_from_output = {1, 1, Doubt::at_normal_midpoints, Doubt::beyond_range},
      .second_derivative = {0.51f, 3.5},
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

  // Up to which |x| neither a square overflows or vanishes nor x + h cancels more than h_low makes good.
  template <class V>
  static HALFWAVE_INLINE V ordinary(V b) {
    using Scale = SquareScale<typename V::Scalar>;
    const auto moderate = (b > V(Scale::small)) & (b < V(Scale::large));
    return select(moderate, min(V(Scale::large), V(512) * sqrt(b)), V(-1));
  }
  // sqrt(x*x + b) = h + h_low for an ordinary x, and 1/h.
  template <class V>
  struct OrdinaryHypotenuse {
    V h, h_low, reciprocal;
    HALFWAVE_INLINE OrdinaryHypotenuse(V x, V b) {
      const V square = x * x;
      const V s = square + b;
      const V s_low = positive_sum_low(square, b, s) + fms(x, x, square);
      h = sqrt(s);
      reciprocal = V(1) / h;
      h_low = (fnma(h, h, s) + s_low) * (V(0.5f) * reciprocal);
    }
  };

  template <class V>
  static HALFWAVE_INLINE V forward(V x, V b) {
    const OrdinaryHypotenuse<V> r(x, b);
    const V sum = r.h + x;
    const V y = V(0.5f) * (sum + ((x - (sum - r.h)) + r.h_low));
    const auto rare = abs(x) > ordinary(b);
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

  template <class V>
  static HALFWAVE_INLINE V derivative(V x, V b) {
    const OrdinaryHypotenuse<V> r(x, b);
    const V ratio = x * r.reciprocal;
    const V ratio_low = fnma(ratio, r.h_low, fnma(ratio, r.h, x)) * r.reciprocal;
    const V sum = V(1) + ratio;
    const V y = V(0.5f) * (sum + ((ratio - (sum - V(1))) + ratio_low));
    const auto rare = abs(x) > ordinary(b);
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
  static HALFWAVE_INLINE Wide second_derivative(Wide x, Wide b) {
    const Hypotenuse<Wide> r(abs(x), b);
    const Wide y = ((b / r.h) / r.h) / (r.h + r.h);
    return select(r.h == Wide(0), Wide(0), fnma(y, Wide(3) * (r.h_low / r.h), y));
  }
};

}  // namespace
}  // namespace halfwave::activations
