// Gated linear units: act(gate) * up.
#pragma once

#include "gaussian.hpp"
#include "rectifiers.hpp"
#include "sigmoid.hpp"

namespace halfwave::activations {
namespace {

// a * b, where a is an activation, or its derivative, at `at`.
template <class V>
struct Product {
  V a, b, at;
  HALFWAVE_INLINE V value() const { return a * b; }
  // What it is where that is not a number: 0 times an infinity is the limit that it has in b. a is 0 only where `at` is 0 or
  // infinite; elsewhere it has underflowed.
  HALFWAVE_INLINE V limit() const {
    const V largest = largest_finite<V>();
    const auto underflowed = (a == V(0)) & (abs(b) > largest) & (abs(at) > V(0)) & (abs(at) <= largest);
    const V factor = select(underflowed, copysign(V(1), a), a);
    return finite_for(b, factor) * finite_for(factor, b);
  }
};
template <class V>
HALFWAVE_INLINE V gated_product(V a, V b, V at) {
  const Product<V> product{a, b, at};
  const V y = product.value();
  if (any(unordered(y, y))) [[unlikely]]
    return product.limit();
  return y;
}
// Both gradients, without a branch between them: the compiler shares what they have in common only where there is none.
template <class V>
HALFWAVE_INLINE void gated_products(V* y, const Product<V>& gate, const Product<V>& up) {
  y[0] = gate.value();
  y[1] = up.value();
  if (any(unordered(y[0], y[1]))) [[unlikely]] {
    y[0] = gate.limit();
    y[1] = up.limit();
  }
}

// The same where the function is flat outside of `inside`. A product that is a number comes of numbers, and `flat`, the
// gradient on a flat piece, is then 0.
template <class V, class Flat>
HALFWAVE_INLINE void gated_products(V* y, const Product<V>& gate, const Product<V>& up, typename V::Mask gate_inside,
                                    typename V::Mask up_inside, Flat flat) {
  V nothing[] = {V(0), V(0)};
  y[0] = gate.value();
  y[1] = up.value();
  if (any(unordered(y[0], y[1]))) [[unlikely]] {
    y[0] = gate.limit();
    y[1] = up.limit();
    flat(nothing);
  }
  y[0] = select(gate_inside, y[0], nothing[0]);
  y[1] = select(up_inside, y[1], nothing[1]);
}

// Where a gradient, which is g times the derivative at x, comes from: it may be 0 for g's sake.
template <class V>
HALFWAVE_INLINE V origin(V g, V x) {
  return select(g == V(0), g, x);
}

// The gradient on a flat piece of a function of two operands.
template <class V>
HALFWAVE_INLINE V flat(V g, V gate, V up) {
  return flat(flat(g, gate), up);
}

template <class Activation>
constexpr bool has_narrow_forms = requires {
  &Activation::forward_narrow;
  &Activation::backward_narrow;
};

// Gate is the activation in the form whose value and slope share most: the gradients take both.
template <class Activation, class Gate = Activation>
struct Gated {
  template <class V>
  static HALFWAVE_INLINE V forward(V gate, V up) {
    return gated_product(Activation::forward(gate), up, gate);
  }
  static HALFWAVE_INLINE Vec<float> forward_narrow(Vec<float> gate, Vec<float> up)
    requires requires { &Activation::forward_narrow; }
  {
    return gated_product(Activation::forward_narrow(gate), up, gate);
  }
  template <class V>
  static HALFWAVE_INLINE V backward_gate(V g, V gate, V up) {
    return gated_product(Gate::backward(g, gate), up, origin(g, gate));
  }
  template <class V>
  static HALFWAVE_INLINE V backward_up(V g, V gate, V) {
    return gated_product(Gate::forward(gate), g, gate);
  }
  template <class V>
  static HALFWAVE_INLINE void backward(V* gradients, V g, V gate, V up) {
    const V value = Gate::forward(gate), slope = Gate::backward(g, gate);
    gated_products<V>(gradients, {slope, up, origin(g, gate)}, {value, g, gate});
  }

  // In 16 bits all three have forms of their own, or none: the gradients are the same, alone and together.
  static constexpr bool has_narrow_gradients = has_narrow_forms<Gate>;
  static HALFWAVE_INLINE Vec<float> backward_gate_narrow(Vec<float> g, Vec<float> gate, Vec<float> up)
    requires has_narrow_gradients
  {
    return gated_product(Gate::backward_narrow(g, gate), up, origin(g, gate));
  }
  static HALFWAVE_INLINE Vec<float> backward_up_narrow(Vec<float> g, Vec<float> gate, Vec<float>)
    requires has_narrow_gradients
  {
    return gated_product(Gate::forward_narrow(gate), g, gate);
  }
  static HALFWAVE_INLINE void backward_narrow(Vec<float>* gradients, Vec<float> g, Vec<float> gate, Vec<float> up)
    requires has_narrow_gradients
  {
    const Vec<float> value = Gate::forward_narrow(gate), slope = Gate::backward_narrow(g, gate);
    gated_products<Vec<float>>(gradients, {slope, up, origin(g, gate)}, {value, g, gate});
  }
};

struct Glu : Gated<Sigmoid> {
  static constexpr Info info{
      .name = "glu",
      .title = "Gated linear unit.",
      .formula = "sigmoid(gate) * up",
      .derivative = "(g * sigmoid'(gate)) * up for the gate, g * sigmoid(gate) for up",
      .source = "Y. N. Dauphin, A. Fan, M. Auli and D. Grangier, Language modeling with gated convolutional networks, "
                "ICML 2017, arXiv:1612.08083.",
      .gated = true,
      .forward = {4.5f, 4.5f, Doubt::never, Doubt::exact_is_before},
      .backward = {4.5f, 4.5f, Doubt::beyond_range, Doubt::exact_is_before},
  };
};

struct Bilinear : Gated<Identity> {
  static constexpr Info info{
      .name = "bilinear",
      .title = "Gated linear unit without an activation: the product of its operands.",
      .formula = "gate * up",
      .derivative = "g * up for the gate, g * gate for up",
      .source = "A. Mnih and G. Hinton, Three new graphical models for statistical language modelling, ICML 2007; N. "
                "Shazeer, GLU variants improve transformer, 2020, arXiv:2002.05202.",
      .gated = true,
      .forward = {0.5, 0.5, Doubt::never},
  };
  static constexpr int unroll = 4;
};

struct ReGlu {
  static constexpr Info info{
      .name = "reglu",
      .title = "Gated linear unit with a ReLU gate.",
      .formula = "max(gate, 0) * up",
      .derivative = "g * up for the gate, g * gate for up, where gate > 0, else 0",
      .kink = "Where gate <= 0, the result and both gradients are 0, also where the other operands are infinite.",
      .source = "N. Shazeer, GLU variants improve transformer, 2020, arXiv:2002.05202.",
      .gated = true,
      .forward = {0.5, 0.5, Doubt::never},
  };
  static constexpr int unroll = 4;

  template <class V>
  static HALFWAVE_INLINE V forward(V gate, V up) {
    return select(gate > V(0), gated_product(gate, up, gate), flat(up, gate));
  }
  template <class V>
  static HALFWAVE_INLINE V backward_gate(V g, V gate, V up) {
    return select(gate > V(0), gated_product(up, g, up), flat(g, gate, up));
  }
  template <class V>
  static HALFWAVE_INLINE V backward_up(V g, V gate, V) {
    return forward(gate, g);
  }
  template <class V>
  static HALFWAVE_INLINE void backward(V* gradients, V g, V gate, V up) {
    const auto inside = gate > V(0);
    gated_products<V>(gradients, {up, g, up}, {gate, g, gate}, inside, inside, [&](V* y) HALFWAVE_INLINE_LAMBDA {
      y[0] = flat(g, gate, up);
      y[1] = flat(g, gate);
    });
  }
};

struct GeGlu : Gated<Gelu, GeluGate> {
  static constexpr Info info{
      .name = "geglu",
      .title = "Gated linear unit with a GELU gate.",
      .formula = "gelu(gate) * up",
      .derivative = "(g * gelu'(gate)) * up for the gate, g * gelu(gate) for up",
      .source = "N. Shazeer, GLU variants improve transformer, 2020, arXiv:2002.05202.",
      .gated = true,
      .forward = {4.5f, 4.5f, Doubt::exact_is_above},
      .backward = {4.5f, 4.5f, Doubt::at_midpoints, Doubt::at_normal_midpoints},
  };
};

struct GeGluTanh : Gated<GeluTanh, GeluTanhGate> {
  static constexpr Info info{
      .name = "geglu_tanh",
      .title = "Gated linear unit whose gate is the approximation of GELU by a hyperbolic tangent.",
      .formula = "gelu_tanh(gate) * up",
      .derivative = "(g * gelu_tanh'(gate)) * up for the gate, g * gelu_tanh(gate) for up",
      .source = "N. Shazeer, GLU variants improve transformer, 2020, arXiv:2002.05202.",
      .gated = true,
      .forward = {4.5f, 4.5f, Doubt::at_midpoints, Doubt::exact_is_above},
      .backward = {4.5f, 4.5f, Doubt::at_midpoints, Doubt::at_normal_midpoints},
  };
};

struct GeGluQuick : Gated<QuickGeluGate> {
  static constexpr Info info{
      .name = "geglu_quick",
      .title = "Gated linear unit whose gate is the approximation of GELU by a sigmoid.",
      .formula = "quick_gelu(gate) * up",
      .derivative = "(g * quick_gelu'(gate)) * up for the gate, g * quick_gelu(gate) for up",
      .source = "N. Shazeer, GLU variants improve transformer, 2020, arXiv:2002.05202.",
      .gated = true,
      .forward = {4.5f, 4.5f, Doubt::exact_is_above},
      .backward = {4.5f, 4.5f, Doubt::exact_is_above},
  };
};

struct SwiGlu : Gated<Silu> {
  static constexpr Info info{
      .name = "swiglu",
      .title = "Gated linear unit with a SiLU gate.",
      .formula = "silu(gate) * up",
      .derivative = "(g * silu'(gate)) * up for the gate, g * silu(gate) for up",
      .source = "N. Shazeer, GLU variants improve transformer, 2020, arXiv:2002.05202.",
      .gated = true,
      .forward = {4.5f, 4.5f, Doubt::exact_is_above, Doubt::at_normal_midpoints},
      .backward = {4.5f, 4.5f, Doubt::exact_is_above, Doubt::at_normal_midpoints},
  };
};

struct SwiGluClamped {
  static constexpr Info info{
      .name = "swiglu_clamped",
      .title = "Gated linear unit with a swish gate, whose operands are clamped, and 1 added to the second.",
      .formula = "swish(min(gate, limit), alpha) * (clip(up, -limit, limit) + 1)",
      .derivative = "(g * swish'(gate, alpha)) * (clip(up, -limit, limit) + 1) if gate < limit else 0 for the gate, "
                    "g * swish(min(gate, limit), alpha) if |up| < limit else 0 for up",
      .kink = "At its limits the derivative is 0: that in the gate where gate = limit, that in up where |up| = limit.",
      .source = "OpenAI, gpt-oss-120b and gpt-oss-20b model card, 2025, arXiv:2508.10925.",
      .gated = true,
      .parameters = {{.name = "alpha", .meaning = "steepness of the gate, any real number", .value = 1.702},
                     {.name = "limit",
                      .meaning =
                          "bound of the gate from above and of up from both sides, >= 0; infinity clamps nothing",
                      .value = 7.0}},
      .domain = {"limit must be >= 0", [](const double* p) { return !(p[1] < 0); }},
      .forward = {5, 5, Doubt::never, Doubt::beyond_range_away},
      .backward = {5, 5, Doubt::exact_is_above},
  };

  template <class V>
  static HALFWAVE_INLINE V forward(V gate, V up, V alpha, V limit) {
    const V clamped = min(limit, gate);
    return gated_product(Swish::forward(clamped, alpha), factor(up, limit), clamped);
  }
  template <class V>
  static HALFWAVE_INLINE V backward_gate(V g, V gate, V up, V alpha, V limit) {
    const V by = factor(up, limit);
    return select(inside(gate, limit), gated_product(Swish::backward(g, gate, alpha), by, origin(g, gate)),
                  flat(g, gate, by));
  }
  template <class V>
  static HALFWAVE_INLINE V backward_up(V g, V gate, V up, V alpha, V limit) {
    const V clamped = min(limit, gate);
    return select(inside(abs(up), limit), gated_product(Swish::forward(clamped, alpha), g, clamped),
                  flat(g, gate, factor(up, limit)));
  }
  template <class V>
  static HALFWAVE_INLINE void backward(V* gradients, V g, V gate, V up, V alpha, V limit) {
    const V clamped = min(limit, gate), by = factor(up, limit);
    const auto swish = Swish::with_derivative(clamped, alpha);
    products(gradients, {g * swish.derivative, by, origin(g, gate)}, {swish.value, g, clamped}, inside(gate, limit),
             inside(abs(up), limit));
  }

  // In float, for an ordinary alpha and a limit that is finite.
  static HALFWAVE_INLINE Vec<float>::Mask rare(Vec<float> alpha, Vec<float> limit) {
    return Swish::rare(alpha) | (limit > largest_finite<Vec<float>>()) | unordered(limit, limit);
  }
  template <class V>
  static HALFWAVE_INLINE V forward_ordinary(V gate, V up, V alpha, V limit) {
    const V clamped = min(limit, gate);
    return gated_product(Swish::forward_ordinary(clamped, alpha), ordinary_factor(up, limit), clamped);
  }
  template <class V>
  static HALFWAVE_INLINE void backward_ordinary(V* gradients, V g, V gate, V up, V alpha, V limit) {
    const V clamped = min(limit, gate);
    const V value = Swish::forward_ordinary(clamped, alpha), slope = Swish::backward_ordinary(g, clamped, alpha);
    const V by = ordinary_factor(up, limit);
    products(gradients, {slope, by, origin(g, gate)}, {value, g, clamped}, gate < limit, abs(up) < limit);
  }

 private:
  template <class V>
  static HALFWAVE_INLINE void products(V* gradients, const Product<V>& of_gate, const Product<V>& of_up,
                                       typename V::Mask gate_inside, typename V::Mask up_inside) {
    gated_products(gradients, of_gate, of_up, gate_inside, up_inside,
                   [&](V* y) HALFWAVE_INLINE_LAMBDA { y[0] = y[1] = flat(of_up.b, of_up.at, of_gate.b); });
  }
  // A limit of infinity clamps nothing, infinities included.
  template <class V>
  static HALFWAVE_INLINE typename V::Mask inside(V x, V limit) {
    return min(largest_finite<V>(), x) < limit;
  }
  template <class V>
  static HALFWAVE_INLINE V factor(V up, V limit) {
    return clip(up, -limit, limit) + V(1);
  }
  template <class V>
  static HALFWAVE_INLINE V ordinary_factor(V up, V limit) {
    return min(limit, max(-limit, up)) + V(1);
  }
};

}  // namespace
}  // namespace halfwave::activations
