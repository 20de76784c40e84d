// The forward functions that keep integers: their formulas over contiguous memory, and over any.
#pragma once

#include <utility>

#include "memory.hpp"
#include "simd/integer.hpp"
#include "table.hpp"

namespace halfwave {
namespace {

// ---- Blocks: one formula over contiguous memory -----------------------------------------------------------------------

template <class A, class T, bool varying, size_t... k>
HALFWAVE_INLINE void integer_block_of(const T* x, const int64_t* const* parameters, T* y, size_t n,
                                      std::index_sequence<k...>) {
  using V = Integer<T>;
  if constexpr (varying) {
    HALFWAVE_INDEPENDENT
    for (size_t i = 0; i < n; ++i) y[i] = A::forward(V(x[i]), V::saturated(parameters[k][i])...).v;
  } else {
    const V bounds[] = {V::saturated(*parameters[k])..., V(0)};
    const auto fill = [&](auto... bound) HALFWAVE_INLINE_LAMBDA {
      HALFWAVE_INDEPENDENT
      for (size_t i = 0; i < n; ++i) y[i] = A::forward(V(x[i]), bound...).v;
    };
    if ((bounds[k].below | ... | false))
      fill(bounds[k]...);
    else
      fill(V(bounds[k].v)...);
  }
}

template <class A, class T, bool varying>
void integer_block(const void* x, const int64_t* const* parameters, void* y, size_t n) {
  integer_block_of<A, T, varying>(static_cast<const T*>(x), parameters, static_cast<T*>(y), n,
                                  std::make_index_sequence<A::info.parameter_count()>{});
}

template <class A, class T>
constexpr IntegerBlocks integer_blocks_of() {
  return {integer_block<A, T, false>, integer_block < A, T, A::info.parameter_count() != 0 > };
}

template <class A>
constexpr IntegerBlocks integer_blocks[integer_storages] = {
    integer_blocks_of<A, int8_t>(),   integer_blocks_of<A, int16_t>(), integer_blocks_of<A, int32_t>(),
    integer_blocks_of<A, int64_t>(),  integer_blocks_of<A, uint8_t>(), integer_blocks_of<A, uint16_t>(),
    integer_blocks_of<A, uint32_t>(), integer_blocks_of<A, uint64_t>()};

// ---- Memory -----------------------------------------------------------------------------------------------------------

template <class T>
HALFWAVE_INLINE bool is_packed(const void* p, ptrdiff_t stride) {
  return stride == sizeof(T) && reinterpret_cast<uintptr_t>(p) % alignof(T) == 0;
}

// Operands are the input, the parameters, the output.
template <class T, Storage storage>
void run_integers(const Operation& op, char* const* operands, const ptrdiff_t* strides, size_t n, bool streaming) {
  const IntegerBlocks& blocks = op.integers[int(storage) - int(Storage::int8)];
  const int output = 1 + op.parameters;
  bool varying = false;
  for (int k = 1; k < output; ++k) varying |= strides[k] != 0;

  constexpr size_t piece = chunk * sizeof(int64_t) / sizeof(T);  // elements in 4 KB
  alignas(64) T source[piece], target[piece];
  int64_t bounds[max_parameters][chunk];
  const int64_t* parameters[max_parameters] = {};
  const bool read_in_place = is_packed<T>(operands[0], strides[0]);
  const bool written_in_place = !streaming && is_packed<T>(operands[output], strides[output]);
  const bool direct = read_in_place && written_in_place;
  const size_t most = varying ? chunk : direct ? n : piece;
  size_t m = first_piece(operands[output], sizeof(T), n, most, streaming || (direct && n >= many));
  for (size_t i = 0; i < n; i += m, m = n - i < most ? n - i : most) {
    const auto at = [&](int k) { return operands[k] + ptrdiff_t(i) * strides[k]; };
    for (int k = 1; k < output; ++k) {
      gather(bounds[k - 1], at(k), strides[k], varying ? m : 1);
      parameters[k - 1] = bounds[k - 1];
    }
    if (!read_in_place) gather(source, at(0), strides[0], m);
    const void* x = read_in_place ? at(0) : static_cast<const void*>(source);
    void* y = written_in_place ? at(output) : static_cast<void*>(target);
    if (streaming && read_in_place)
      for (size_t j = 0; j < m * sizeof(T); j += line) prefetch_ahead(at(0) + j);
    (varying ? blocks.varying : blocks.uniform)(x, parameters, y, m);
    if (streaming)
      put(at(output), target, m * sizeof(T), streaming);
    else if (!written_in_place)
      scatter(at(output), strides[output], target, m);
  }
  if (streaming) finish_streaming();
}

}  // namespace
}  // namespace halfwave
