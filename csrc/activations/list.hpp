// Every activation, in the order of the documentation. To add one: write its struct in the header of its kin, name it
// here, and add its NumPy formula to tests/reference.py.
#pragma once

#include "exponential.hpp"
#include "gated.hpp"
#include "rectifiers.hpp"
#include "sigmoid.hpp"

namespace halfwave::activations {
namespace {

template <class... Activations>
struct List {};

using Catalogue = List<Relu, LeakyRelu, Prelu, Elu, Xielu, Silu, Sigmoid, Tanh, SwiGlu>;

}  // namespace
}  // namespace halfwave::activations
