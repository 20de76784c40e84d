// The logistic function, what is gated by it, and the hyperbolic tangent.
#pragma once

#include "../math/pieces.hpp"
#include "../math/logistic.hpp"
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
      .from_output = "y * (1 - y) for y in [0, 1]; as y nears 1 it has lost the digits of 1 - y, and the derivative with it",
      .forward = {2, 2},
      .backward = {2, 2},
      .backward_from_output = {2, 2},
  };

  template <class V>
  static HALFWAVE_INLINE V forward(V x) {
    return logistic(x);
  }
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x) {
    return g * logistic_slope(abs(x), 1);
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
      .forward = {2, 2},
      .backward = {2, 2},
  };

  // silu(x) = max(x, 0) - a * sigmoid(-a), a = |x|
  template <class V>
  static HALFWAVE_INLINE V forward(V x) {
    const LogisticTail<V> f(abs(x));
    return max(V(-0.0f), x) - (f.a * f.u) * f.quotient();
  }

  // silu'(x) + silu'(-x) = 1, and at x = -a, with b = 1 - a: sigmoid(-a) * (b + a * sigmoid(-a)) = u * q * (b + a*u*q).
  template <class V>
  static HALFWAVE_INLINE V derivative(V x) {
    using Root = SiluDerivativeRoot<typename V::Scalar>;
    const LogisticTail<V> f(abs(x));
    const V b = V(1) - f.a;
    const V k = f.a * f.u;
    const V z = k * f.q;
    const V sum = b + z;
    const V lost = (z - (sum - b)) + fms(k, f.q, z);
    const V low = fma(f.correction, sum + z, lost);
    const V far = fma(f.q, sum, f.q * low) * f.u;
    const V d = x - V(Root::root);
    const V near = fma(d, polynomial(d, Root::slope), V(Root::value));
    const V tail = select(abs(d) < V(Root::radius), near, far);
    return select(x >= V(0), V(1) - tail, tail);
  }
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x) {
    return g * derivative(x);
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
      .forward = {1, 1},
      .backward = {2, 2},
      .backward_from_output = {2, 2},
  };

  template <class V>
  static HALFWAVE_INLINE V forward(V x) {
    return hyperbolic_tangent(x);
  }
  // tanh'(x) = 4 * sigmoid'(2x)
  template <class V>
  static HALFWAVE_INLINE V backward(V g, V x) {
    return g * logistic_slope(abs(x + x), 4);
  }
  template <class V>
  static HALFWAVE_INLINE V backward_from_output(V g, V y) {
    const V inside = max(V(-1), min(V(1), y));
    return g * ((V(1) - inside) * (V(1) + inside));
  }
};

}  // namespace
}  // namespace halfwave::activations
