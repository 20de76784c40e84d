#pragma once

#include "../simd/simd.hpp"

namespace halfwave {
namespace {

// Rare lanes in a wider type. Where a float result would be ill conditioned (a sum that cancels near a root), `f`, the
// same formula, is evaluated once more on doubles and rounded back. The choice is made lane by lane, so that a result
// depends on its own operands only, and costs nothing where no lane asks for it. In double it is the result itself.
template <class F, class... V>
HALFWAVE_INLINE Vec<float> refine(Vec<float> result, typename Vec<float>::Mask rare, F f, V... operands) {
  if (any(rare)) [[unlikely]] {
    struct Halves {
      Vec<double> low, high;
      explicit HALFWAVE_INLINE Halves(Vec<float> a) { widen(a, low, high); }
    };
    const auto evaluate = [&](auto... wide) { return narrow(f(wide.low...), f(wide.high...)); };
    return select(rare, evaluate(Halves(operands)...), result);
  }
  return result;
}

template <class F, class... V>
HALFWAVE_INLINE Vec<double> refine(Vec<double> result, typename Vec<double>::Mask, F, V...) {
  return result;
}

}  // namespace
}  // namespace halfwave
