// Rational functions and square roots.
#pragma once

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
      .source = "X. Glorot and Y. Bengio, Understanding the difficulty of training deep feedforward neural networks, "
                "AISTATS 2010.",
      .from_output = "(1 - abs(y))**2 for y in [-1, 1]; as |y| nears 1 it has lost the digits of 1 - |y|",
      .forward = {1.5, 1.5},
      .backward = {2, 2},
      .backward_from_output = {2, 2},
  };

  template <class V>
  static HALFWAVE_INLINE V forward(V x) {
    const V a = min(largest_finite<V>(), abs(x));
    return copysign(a / (V(1) + a), x);
  }
  // The reciprocal is corrected for what 1 + |x| and the division lost, so that its square keeps within the bound.
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x) {
    const V a = min(largest_finite<V>(), abs(x));
    const V s = V(1) + a;
    const V larger = max(V(1), a), smaller = min(V(1), a);
    const V s_low = smaller - (s - larger);
    const V q = V(1) / s;
    const V r = fma(q, fnma(s_low, q, fnma(s, q, V(1))), q);
    return g * (r * r);
  }
  template <class V>
  static HALFWAVE_INLINE V backward_from_output(V g, V y) {
    const V rest = V(1) - min(V(1), abs(y));
    return g * (rest * rest);
  }
};

// A power of two that brings the squares of x and sqrt(b) into range, and its reciprocal.
template <class T>
struct SquareScale;
template <>
struct SquareScale<float> {
  static constexpr float large = 0x1p32f, small = 0x1p-32f, down = 0x1p-66f, up = 0x1p66f;
};
template <>
struct SquareScale<double> {
  static constexpr double large = 0x1p256, small = 0x1p-256, down = 0x1p-514, up = 0x1p514;
};

struct SquarePlus {
  static constexpr Info info{
      .name = "squareplus",
      .title = "Smooth rectifier made of a square root.",
      .formula = "(x + sqrt(x**2 + b)) / 2",
      .derivative = "(1 + x / sqrt(x**2 + b)) / 2",
      .kink = "For b = 0 it is relu, with derivative 1/2 at 0.",
      .source = "J. T. Barron, Squareplus: a softplus-like algebraic rectifier, 2021, arXiv:2112.11687.",
      .parameters = {{.name = "b", .meaning = "squared width of the bend, >= 0", .value = 4.0}},
      .domain = {"b must be >= 0", [](const double* p) { return !(p[0] < 0); }},
      .from_output_domain = {"b must be > 0: only then does y determine x",
                             [](const double* p) { return !(p[0] <= 0); }},
      .from_output = "y**2 / (y**2 + b / 4)",
      .forward = {2, 2},
      .backward = {2, 2},
      .backward_from_output = {2, 2},
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
      const V back = select(large, V(Scale::up), select(small, V(Scale::down), V(1)));
      const V as = a * scale, bs = (b * scale) * scale;
      const V square = as * as;
      const V s = square + bs;
      const V larger = max(square, bs), smaller = min(square, bs);
      const V s_low = (smaller - (s - larger)) + fms(as, as, square);
      const V root = sqrt(s);
      h = root * back;
      h_low =
          select((root > V(0)) & (root <= largest_finite<V>()), (fnma(root, root, s) + s_low) / (root + root), V(0)) *
          back;
    }
  };

  // For x < 0 the sum cancels; there it is b / (2 * (h + |x|)), written so that h + |x| cannot overflow.
  template <class V>
  static HALFWAVE_INLINE V forward(V x, V b) {
    const V a = abs(x);
    const Hypotenuse<V> r(a, b);
    const V half = V(0.5f) * r.h + (V(0.5f) * a + V(0.5f) * r.h_low);
    const V quotient = (V(0.25f) * b) / half;
    return nan_from(b, nan_from(x, select(x > V(0), half, select(half > V(0), quotient, V(0)))));
  }
  // At -|x| it is b / (2h * (h + |x|)); both sides add up to 1.
  template <class V>
  static HALFWAVE_INLINE V derivative(V x, V b) {
    const V a = min(largest_finite<V>(), abs(x));
    const Hypotenuse<V> r(a, b);
    // With k = b/h**2 <= 1 the tail is k / (2 + 2a/h): free of overflow, and each factor corrected for its rounding.
    const V ratio = a / r.h;
    const V ratio_low = (fnma(ratio, r.h, a) - ratio * r.h_low) / r.h;
    const V w = ratio + V(1);
    const V w_low = (ratio - (w - V(1))) + ratio_low;
    // k = 1 - ratio**2 = (1 - ratio) * (1 + ratio), so the tail is (1 - ratio)/2 = b / (2h**2 (1 + ratio)).
    const V q = b / r.h;
    const V q_low = (fnma(q, r.h, b) - q * r.h_low) / r.h;
    const V k = q / r.h;
    const V k_low = (fnma(k, r.h, q) + q_low - k * r.h_low) / r.h;
    const V tail = V(0.5f) * (k / w);
    const V correction = V(0.5f) * ((fnma(k / w, w, k) + k_low - (k / w) * w_low) / w);
    const V t = select(r.h > V(0), tail + correction, V(0.5f));
    return nan_from(b, nan_from(x, mirrored(x, t)));
  }
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x, V b) {
    return g * derivative(x, b);
  }
  template <class V>
  static HALFWAVE_INLINE V backward_from_output(V g, V y, V b) {
    const V inside = min(largest_finite<V>(), max(V(0), y));
    const V q = (V(0.25f) * b) / inside;
    const V q_low = fnma(q, inside, V(0.25f) * b) / inside;
    const V sum = inside + q;
    const V sum_low = (min(inside, q) - (sum - max(inside, q))) + q_low;
    const V r = inside / sum;
    return g * select(sum <= largest_finite<V>(), fnma(r, sum_low / sum, r), nan_from(b, nan_from(y, V(0))));
  }
  template <class V>
  static HALFWAVE_INLINE void parameter_terms(V* terms, V g, V x, V b) {
    terms[0] = product(g, V(0.25f) / Hypotenuse<V>(abs(x), b).h);
  }
};

}  // namespace
}  // namespace halfwave::activations
