#pragma once

#include "../simd/simd.hpp"

namespace halfwave {
namespace {

// c[0] + c[1]*x + c[2]*x^2 + …, by Horner's rule: the kernels interleave several vectors, which hides its latency
// better than Estrin's extra operations do.
template <class V, size_t n>
HALFWAVE_INLINE V polynomial(V x, const typename V::Scalar (&c)[n]) {
  V sum = c[n - 1];
#if defined(__clang__)
#pragma clang loop unroll(full)
#elif defined(__GNUC__)
#pragma GCC unroll 32
#endif
  for (size_t i = n - 1; i > 0; --i) sum = fma(sum, x, V(c[i - 1]));
  return sum;
}

}  // namespace
}  // namespace halfwave
