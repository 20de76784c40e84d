#pragma once

#include "../simd/simd.hpp"

namespace halfwave {
namespace {

using Wide = Vec<double>;

// f of the operands as doubles, rounded back.
template <class F, class... V>
HALFWAVE_INLINE Vec<float> in_double(F f, V... operands) {
  struct Halves {
    Vec<double> low, high;
    explicit HALFWAVE_INLINE Halves(Vec<float> a) { widen(a, low, high); }
  };
  const auto evaluate = [&](auto... wide) HALFWAVE_INLINE_LAMBDA { return narrow(f(wide.low...), f(wide.high...)); };
  return evaluate(Halves(operands)...);
}

}  // namespace
}  // namespace halfwave
