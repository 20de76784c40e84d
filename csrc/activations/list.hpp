// Every activation, in the order of the documentation. To add one: write its struct in the header of its kin, name it
// here, and add its NumPy formula to python/halfwave/verify/reference.py.
#pragma once

#include "algebraic.hpp"
#include "clipped.hpp"
#include "exponential.hpp"
#include "gated.hpp"
#include "gaussian.hpp"
#include "rectifiers.hpp"
#include "shrink.hpp"
#include "sigmoid.hpp"
#include "softplus.hpp"

namespace halfwave::activations {
namespace {

template <class... Activations>
struct List {};

using Catalogue = List<Relu, Relu6, ClippedRelu, Threshold, ThresholdedRelu, LeakyRelu, Prelu, Rrelu, Elu, Selu, Celu,
                       Gelu, GeluTanh, QuickGelu, Silu, Swish, Mish, Softplus, SquarePlus, SparsePlus, SparseSigmoid,
                       HardTanh, HardSigmoid, ClippedLinear, HardSwish, HardMish, SoftShrink, HardShrink, TanhShrink,
                       SoftSign, Sigmoid, LogSigmoid, Tanh, Laplace, SquaredRelu, StarRelu, Xielu, Identity, Glu,
                       Bilinear, ReGlu, GeGlu, GeGluTanh, GeGluQuick, SwiGlu, SwiGluClamped>;

}  // namespace
}  // namespace halfwave::activations
