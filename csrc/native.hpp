// float32 and float64: stored in the type that is computed with, contiguous operands are used where they are.
#pragma once

#include "memory.hpp"
#include "table.hpp"

namespace halfwave {
namespace {

inline const Blocks<float>& blocks_of(const Operation& op, float) { return op.f32; }
inline const Blocks<double>& blocks_of(const Operation& op, double) { return op.f64; }

template <class T>
void run_native(const Operation& op, char* const* operands, const ptrdiff_t* strides, size_t n, bool streaming) {
  constexpr ptrdiff_t item = sizeof(T);
  const Blocks<T>& blocks = blocks_of(op, T());
  const int inputs = op.data + op.parameters;

  bool varying = false, packed = true, direct = true;
  for (int k = op.data; k < inputs; ++k) {
    varying |= strides[k] != 0;
    packed &= strides[k] == item;
  }
  for (int k = 0; k < op.data; ++k) direct &= strides[k] == item;
  for (int k = inputs; k < op.operands(); ++k) direct &= strides[k] == item;

  const T* in[max_operands];
  T* out[max_operands];
  if (direct && (packed || !varying)) {
    for (int k = 0; k < inputs; ++k) in[k] = reinterpret_cast<const T*>(operands[k]);
    for (int k = inputs; k < op.operands(); ++k) out[k - inputs] = reinterpret_cast<T*>(operands[k]);
    (varying ? blocks.varying : blocks.uniform)(in, out, n, streaming);
    if (streaming) finish_streaming();
    return;
  }

  alignas(64) T buffers[max_operands][chunk];
  // With two operands that lie alike, the loads too are then in one line each.
  const bool by_twos = strides[inputs] == 2 * item && n >= many;
  size_t m = first_piece(operands[inputs], by_twos ? 2 * item : item, n, chunk, streaming || by_twos);
  for (size_t i = 0; i < n; i += m, m = n - i < chunk ? n - i : chunk) {
    const auto at = [&](int k) { return operands[k] + ptrdiff_t(i) * strides[k]; };
    for (int k = 0; k < inputs; ++k) {
      const bool one = k >= op.data && !varying;
      in[k] = source(at(k), strides[k], one ? 1 : m, buffers[k]);
    }
    for (int k = inputs; k < op.operands(); ++k) out[k - inputs] = target(at(k), strides[k], buffers[k], false);
    (varying ? blocks.varying : blocks.uniform)(in, out, m, streaming);
    for (int k = inputs; k < op.operands(); ++k) deliver(at(k), strides[k], buffers[k], m, false);
  }
  if (streaming) finish_streaming();
}

}  // namespace
}  // namespace halfwave
