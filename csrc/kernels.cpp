// Drives every activation over memory. Compiled once per instruction set, with HALFWAVE_ISA naming it, so nothing in
// here may be visible to the linker but the one table at the end: no function templates of the standard library, no
// inline functions outside of anonymous namespaces, no static initialisers.
#include "block.hpp"
#include "floating_point_state.hpp"
#include "memory.hpp"
#include "observe.hpp"
#include "table.hpp"

namespace halfwave {
namespace {

const Blocks<float>& blocks_of(const Operation& op, float) { return op.f32; }
const Blocks<double>& blocks_of(const Operation& op, double) { return op.f64; }

template <class Memory>
void compute(const Operation& op, char* const* operands, const ptrdiff_t* strides, size_t n, bool streaming) {
  using T = typename Memory::Compute;
  const Blocks<T>& blocks = blocks_of(op, T());
  const int inputs = op.data + op.parameters;
  const ptrdiff_t item = sizeof(typename Memory::Stored);

  bool direct = sizeof(T) == sizeof(typename Memory::Stored);
  bool varying = false;
  bool packed = true;
  for (int k = 0; k < op.data; ++k) direct &= strides[k] == item;
  for (int k = inputs; k < op.operands(); ++k) direct &= strides[k] == item;
  for (int k = op.data; k < inputs; ++k) {
    varying |= strides[k] != 0;
    packed &= strides[k] == ptrdiff_t(sizeof(T));
  }

  const T* in[max_operands];
  T* out[max_operands];
  if (direct && !streaming && (packed || !varying)) {
    for (int k = 0; k < inputs; ++k) in[k] = reinterpret_cast<const T*>(operands[k]);
    for (int k = inputs; k < op.operands(); ++k) out[k - inputs] = reinterpret_cast<T*>(operands[k]);
    (varying ? blocks.varying : blocks.uniform)(in, out, n);
    return;
  }

  alignas(64) T buffers[max_operands][chunk];
  size_t m = streaming ? until_aligned<Memory>(operands[inputs], n) : n < chunk ? n : chunk;
  for (size_t i = 0; i < n; i += m, m = n - i < chunk ? n - i : chunk) {
    char* at[max_operands];
    for (int k = 0; k < op.operands(); ++k) at[k] = operands[k] + ptrdiff_t(i) * strides[k];
    for (int k = 0; k < op.data; ++k) in[k] = Memory::load(at[k], strides[k], m, buffers[k]);
    for (int k = op.data; k < inputs; ++k) in[k] = Native<T>::load(at[k], strides[k], varying ? m : 1, buffers[k]);
    for (int k = inputs; k < op.operands(); ++k)
      out[k - inputs] = Memory::target(at[k], strides[k], buffers[k], streaming);
    (varying ? blocks.varying : blocks.uniform)(in, out, m);
    Memory::store(op, in, varying, out, at + inputs, strides + inputs, m, op.outputs, streaming);
  }
  if (streaming) finish_streaming();
}

void run(const Operation& op, Storage storage, char* const* operands, const ptrdiff_t* strides, size_t begin,
         size_t end, bool streaming) {
  const FloatingPointState state;
  char* at[max_operands];
  for (int k = 0; k < op.operands(); ++k) at[k] = operands[k] + ptrdiff_t(begin) * strides[k];
  const size_t n = end - begin;
  switch (storage) {
    case Storage::float16: return compute<Narrow<Float16>>(op, at, strides, n, streaming);
    case Storage::bfloat16: return compute<Narrow<BFloat16>>(op, at, strides, n, streaming);
    case Storage::float32: return compute<Native<float>>(op, at, strides, n, streaming);
    case Storage::float64: return compute<Native<double>>(op, at, strides, n, streaming);
    case Storage::int8: return compute<Integers<int8_t, Storage::int8>>(op, at, strides, n, streaming);
    case Storage::int16: return compute<Integers<int16_t, Storage::int16>>(op, at, strides, n, streaming);
    case Storage::int32: return compute<Integers<int32_t, Storage::int32>>(op, at, strides, n, streaming);
    case Storage::int64: return compute<Integers<int64_t, Storage::int64>>(op, at, strides, n, streaming);
    case Storage::uint8: return compute<Integers<uint8_t, Storage::uint8>>(op, at, strides, n, streaming);
    case Storage::uint16: return compute<Integers<uint16_t, Storage::uint16>>(op, at, strides, n, streaming);
    case Storage::uint32: return compute<Integers<uint32_t, Storage::uint32>>(op, at, strides, n, streaming);
    case Storage::uint64: return compute<Integers<uint64_t, Storage::uint64>>(op, at, strides, n, streaming);
  }
}

template <class T>
double sum(const T* terms, size_t n) {
  const FloatingPointState state;
  double lanes[sum_lanes] = {};
  size_t i = 0;
  for (; i + sum_lanes <= n; i += sum_lanes)
    for (size_t j = 0; j < sum_lanes; ++j) lanes[j] += static_cast<double>(terms[i + j]);
  for (size_t j = 0; i + j < n; ++j) lanes[j] += static_cast<double>(terms[i + j]);
  for (size_t width = sum_lanes / 2; width > 0; width /= 2)
    for (size_t j = 0; j < width; ++j) lanes[j] += lanes[j + width];
  return lanes[0];
}

}  // namespace

#define HALFWAVE_STRING_(x) #x
#define HALFWAVE_STRING(x) HALFWAVE_STRING_(x)
#define HALFWAVE_TABLE_(isa) HALFWAVE_CONCATENATE(instruction_set_, isa)

extern const InstructionSet HALFWAVE_TABLE_(HALFWAVE_ISA);
const InstructionSet HALFWAVE_TABLE_(HALFWAVE_ISA) = {HALFWAVE_STRING(HALFWAVE_ISA),
                                                      Rows<activations::Catalogue>::table,
                                                      run,
                                                      sum<float>,
                                                      sum<double>,
                                                      observe<float>,
                                                      observe<double>};

}  // namespace halfwave
