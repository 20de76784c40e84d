// Gated linear units: act(gate) * up.
#pragma once

#include "sigmoid.hpp"

namespace halfwave::activations {
namespace {

template <class Activation>
struct Gated {
  template <class V>
  static HALFWAVE_INLINE V forward(V gate, V up) {
    return Activation::forward(gate) * up;
  }
  template <class V>
  static HALFWAVE_INLINE V backward_gate(V g, V gate, V up) {
    return Activation::backward(g, gate) * up;
  }
  template <class V>
  static HALFWAVE_INLINE V backward_up(V g, V gate, V) {
    return product(g, Activation::forward(gate));
  }
};

struct SwiGlu : Gated<Silu> {
  static constexpr Info info{
      .name = "swiglu",
      .title = "Gated linear unit with a SiLU gate.",
      .formula = "silu(gate) * up",
      .derivative = "(g * silu'(gate)) * up for the gate, g * silu(gate) for up",
      .source = "N. Shazeer, GLU variants improve transformer, 2020, arXiv:2002.05202.",
      .gated = true,
      .forward = {4, 4, Doubt::at_midpoints},
      .backward = {4, 4, Doubt::at_midpoints},
  };
};

}  // namespace
}  // namespace halfwave::activations
