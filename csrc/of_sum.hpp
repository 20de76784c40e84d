// Operations on x + addend in the place of x: the sums of a chunk are made in the L1 cache, and the block of the operation
// on x goes over them. So every activation has them, and no formula is compiled twice.
#pragma once

#include "memory.hpp"
#include "narrow.hpp"
#include "native.hpp"
#include "simd/simd.hpp"
#include "table.hpp"

namespace halfwave {
namespace {

// What the operands of an operation on a sum are to the operation on x.
struct OperandsOfSum {
  explicit OperandsOfSum(const Operation& op)
      : on_x(*op.of_sum),
        inputs(on_x.data + on_x.parameters),
        x(on_x.first_not_factor()),
        addend(on_x.data),
        output(inputs + 1) {}

  const Operation& on_x;
  int inputs;
  int x, addend, output;

  // Where input k of the operation on x is among our operands.
  int place(int k) const { return k + (k >= addend); }
  bool vary(const ptrdiff_t* strides) const {
    bool varying = false;
    for (int k = on_x.data; k < inputs; ++k) varying |= strides[place(k)] != 0;
    return varying;
  }
};

// sums[i] = x[i] + addend[i]; all of them may be the same memory. One addend may serve them all.
template <class T>
HALFWAVE_INLINE void add(const T* x, const T* addend, bool one, T* sums, size_t n) {
  using V = Vec<T>;
  const V same = one ? V(*addend) : V(T(0));
  size_t i = 0;
  for (; i + V::lanes <= n; i += V::lanes) (V::load(x + i) + (one ? same : V::load(addend + i))).store(sums + i);
  if (i < n) (V::load(x + i, n - i) + (one ? same : V::load(addend + i, n - i))).store(sums + i, n - i);
}

template <class T>
void native_of_sum(const Operation& op, char* const* operands, const ptrdiff_t* strides, size_t n, bool streaming) {
  const OperandsOfSum names(op);
  const Blocks<T>& blocks = blocks_of(names.on_x, T());
  const bool varying = names.vary(strides);
  const auto block = varying ? blocks.varying : blocks.uniform;
  const bool one_addend = strides[names.addend] == 0;

  alignas(64) T buffers[max_operands][chunk];
  alignas(64) T sums[chunk];
  const T* in[max_operands];
  size_t m = first_piece(operands[names.output], sizeof(T), n, chunk, streaming);
  for (size_t i = 0; i < n; i += m, m = n - i < chunk ? n - i : chunk) {
    const auto at = [&](int k) { return operands[k] + ptrdiff_t(i) * strides[k]; };
    const auto from = [&](int k, bool one) { return source(at(k), strides[k], one ? 1 : m, buffers[k]); };
    for (int k = 0; k < names.inputs; ++k) in[k] = from(names.place(k), k >= names.on_x.data && !varying);
    add(in[names.x], from(names.addend, one_addend), one_addend, sums, m);
    in[names.x] = sums;
    T* const out = target(at(names.output), strides[names.output], buffers[names.output], false);
    block(in, &out, m, streaming);
    deliver(at(names.output), strides[names.output], buffers[names.output], m, false);
  }
  if (streaming) finish_streaming();
}

// ---- 16 bits: the sum is one of floats, and is not rounded --------------------------------------------------------------

// A chunk of 16-bit floats as floats, by whole pairs of vectors, in the order of Format::load.
template <class Format>
void widen_chunk(float* to, const char* from, ptrdiff_t stride, size_t n) {
  uint16_t packed[chunk];
  const uint16_t* p = source(from, stride, n, packed);
  size_t i = 0;
  for (; i + pair <= n; i += pair) widen<Format>(p + i, to + i);
  if (i == n) return;
  uint16_t last[pair] = {};
  memcpy(last, p + i, (n - i) * sizeof(uint16_t));
  widen<Format>(last, to + i);
}

// A chunk of floats, which lie as parameters do, in that order.
template <class Format>
void order_chunk(float* to, const char* from, ptrdiff_t stride, size_t n) {
  const auto order_pair = [&](const float* p, size_t i) HALFWAVE_INLINE_LAMBDA {
    float ordered[pair];
    for (size_t j = 0; j < lanes; ++j) {  // in two runs, of which the compiler makes shuffles
      ordered[Format::place(2 * j)] = p[2 * j];
      ordered[Format::place(2 * j + 1)] = p[2 * j + 1];
    }
    for (size_t u = 0; u < pair; u += lanes) {
      const auto v = Vec<float>::load(ordered + u);
      select(unordered(v, v), Vec<float>(NAN), v).store(to + i + u);  // as parameter_at
    }
  };
  float packed[chunk];
  const float* p = source(from, stride, n, packed);
  size_t i = 0;
  for (; i + pair <= n; i += pair) order_pair(p + i, i);
  if (i == n) return;
  float last[pair] = {};
  memcpy(last, p + i, (n - i) * sizeof(float));
  order_pair(last, i);
}

// To the nearest, ties to even. What is near to a midpoint is not computed once more: the function is one of the sum, which
// has been rounded to float already.
template <class Format>
void round_floats(const float* results, uint16_t* to, size_t n) {
  for (size_t i = 0; i < n; i += pair) {
    const Vec<float> both[2] = {Vec<float>::load(results + i), Vec<float>::load(results + i + lanes)};
    Format::store(to + i, both, Exact::there);
  }
}

template <class Format>
void narrow_of_sum(const Operation& op, char* const* operands, const ptrdiff_t* strides, size_t n, bool streaming) {
  const OperandsOfSum names(op);
  const bool varying = names.vary(strides), bias = op.data == names.on_x.data;
  const auto block = varying ? names.on_x.f32.varying : names.on_x.f32.uniform;

  alignas(64) float buffers[max_operands][chunk];
  alignas(64) float results[chunk];
  const float* in[max_operands];
  for (int k = 0; k < names.inputs; ++k) in[k] = buffers[names.place(k)];
  for (int k = names.on_x.data; k < names.inputs && !varying; ++k)
    order_chunk<Format>(buffers[names.place(k)], operands[names.place(k)], 0, n < chunk ? n : chunk);
  size_t m = first_piece(operands[names.output], sizeof(uint16_t), n, chunk, streaming);
  for (size_t i = 0; i < n; i += m, m = n - i < chunk ? n - i : chunk) {
    const size_t padded = (m + pair - 1) / pair * pair;
    const auto at = [&](int k) { return operands[k] + ptrdiff_t(i) * strides[k]; };
    const auto widen = [&](int k) { widen_chunk<Format>(buffers[k], at(k), strides[k], m); };
    const auto order = [&](int k) { order_chunk<Format>(buffers[k], at(k), strides[k], m); };
    for (int k = 0; k < names.on_x.data; ++k) widen(k);
    for (int k = names.on_x.data; k < names.inputs && varying; ++k) order(names.place(k));
    bias ? order(names.addend) : widen(names.addend);
    add(buffers[names.x], buffers[names.addend], false, buffers[names.x], padded);
    float* const out = results;
    block(in, &out, padded);
    uint16_t packed[chunk];
    round_floats<Format>(results, packed, padded);
    write(at(names.output), strides[names.output], packed, m, streaming);
  }
  if (streaming) finish_streaming();
}

void run_of_sum(const Operation& op, Storage storage, char* const* operands, const ptrdiff_t* strides, size_t n,
                bool streaming) {
  switch (storage) {
    case Storage::float16: return narrow_of_sum<Float16>(op, operands, strides, n, streaming);
    case Storage::bfloat16: return narrow_of_sum<BFloat16>(op, operands, strides, n, streaming);
    case Storage::float32: return native_of_sum<float>(op, operands, strides, n, streaming);
    default: return native_of_sum<double>(op, operands, strides, n, streaming);
  }
}

}  // namespace
}  // namespace halfwave
