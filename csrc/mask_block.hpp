// Forward passes that write a mask beside their results, and backward passes that read it: for every activation whose
// derivative is 1 on an inner piece of the line, and on the outer ones what it is at 0. It names this in its info's `mask`
// and in `outer(x, parameters…)`, which is false for NaN.
#pragma once

#include <bit>
#include <utility>

#include "block.hpp"
#include "floating_point_state.hpp"
#include "narrow.hpp"
#include "table.hpp"

namespace halfwave {
namespace {

constexpr size_t word_bits = 64;  // of the mask, and as many elements

// Bit j of a word is bit j % 8 of byte j / 8, on any processor.
HALFWAVE_INLINE uint64_t little_endian(uint64_t word) {
  if constexpr (std::endian::native == std::endian::little) return word;
  uint64_t swapped = 0;
  for (int k = 0; k < 64; k += 8) swapped |= (word >> k & 0xff) << (56 - k);
  return swapped;
}
HALFWAVE_INLINE void store_bits(uint8_t* mask, uint64_t word, size_t count) {
  if (count < word_bits) word &= (uint64_t(1) << count) - 1;
  word = little_endian(word);
  memcpy(mask, &word, (count + 7) / 8);
}
HALFWAVE_INLINE uint64_t load_bits(const uint8_t* mask, size_t count) {
  uint64_t word = 0;
  memcpy(&word, mask, (count + 7) / 8);
  return little_endian(word);
}

// ---- How elements lie in memory, a vector of them in their order ------------------------------------------------------

template <class T>
struct Native {
  using Item = T;
  using V = Vec<T>;
  static HALFWAVE_INLINE V load(const Item* p) { return V::load(p); }
  static HALFWAVE_INLINE void store(Item* p, V v) { v.store(p); }
  template <class Op>
  static constexpr bool decides = true;
};

template <class Format>
struct Narrow {
  using Item = uint16_t;
  using V = Vec<float>;
  static HALFWAVE_INLINE V load(const Item* p) { return Format::has_range_of_float ? load_bfloat(p) : load_half(p); }
  static HALFWAVE_INLINE void store(Item* p, V v) {
    Format::has_range_of_float ? store_bfloat(p, v) : store_half(p, v);
  }
  // Whether a float result, rounded once more, is the right one.
  template <class Op>
  static constexpr Undecided undecided = Format::has_range_of_float ? undecided_bf16<Op> : undecided_f16<Op>;
  template <class Op>
  static constexpr bool decides =
      !undecided<Op>.any() && (undecided<Op>.exact == Exact::there || undecided<Op>.exact == Exact::kept);
  // A word of results where it need not be.
  static HALFWAVE_INLINE void compute(const Operation& op, const Item* x, const float* parameters, Item* y) {
    NarrowOperands from;
    from.data[0] = x;
    for (int k = 0; k < op.parameters; ++k) from.parameters[k] = parameters + k;
    Format::kernel(op).block(op, from, &y, word_bits);
  }
};

// ---- Blocks -----------------------------------------------------------------------------------------------------------

template <class T>
HALFWAVE_INLINE T parameter_of(const char* p) {
  T value;
  memcpy(&value, p, sizeof value);
  return value == value ? value : T(NAN);  // of a payload that a bfloat16 has room for
}

// Calls word(from, to, i, count) for the elements from i on that have a word of the mask. The last ones may be fewer: they
// are given as many others, and room for their results.
template <class Item, class Word>
HALFWAVE_INLINE void for_each_word(const void* in, void* out, size_t n, Word word) {
  const auto* from = static_cast<const Item*>(in);
  auto* to = static_cast<Item*>(out);
  size_t i = 0;
  for (; i + word_bits <= n; i += word_bits) word(from + i, to + i, i, word_bits);
  if (i == n) return;
  Item read[word_bits] = {}, written[word_bits];
  memcpy(read, from + i, (n - i) * sizeof(Item));
  word(read, written, i, n - i);
  memcpy(to + i, written, (n - i) * sizeof(Item));
}

template <class A, class Memory>
void forward_with_mask([[maybe_unused]] const Operation& op, const void* x, const char* const* parameters, void* y,
                       uint8_t* mask, size_t n) {
  using Op = Forward<A>;
  using Item = typename Memory::Item;
  using V = typename Memory::V;
  using T = typename V::Scalar;
  const FloatingPointState state;
  V operands[Op::operands];
  T values[Op::parameters + 1];
  for (int k = 0; k < Op::parameters; ++k) operands[Op::data + k] = values[k] = parameter_of<T>(parameters[k]);
  for_each_word<Item>(x, y, n, [&](const Item* from, Item* to, size_t i, size_t count) HALFWAVE_INLINE_LAMBDA {
    uint64_t outer = 0;
    const auto find_outer = [&](size_t j) HALFWAVE_INLINE_LAMBDA {
      operands[0] = Memory::load(from + j);
      const auto where = apply<Op::operands>([](auto... v) HALFWAVE_INLINE_LAMBDA { return A::outer(v...); }, operands);
      outer |= lane_bits(where) << j;
    };
    const auto store_results = [&](size_t j) HALFWAVE_INLINE_LAMBDA {
      operands[0] = Memory::load(from + j);
      V result;
      Op::compute(operands, &result);
      Memory::store(to + j, result);
    };
    if constexpr (!Memory::template decides<Op>) {
      for (size_t j = 0; j < word_bits; j += V::lanes) find_outer(j);
      Memory::compute(op, from, values, to);
    } else if constexpr (V::lanes == 1) {  // of two loops compilers make vectors, of one they make branches
      for (size_t j = 0; j < word_bits; ++j) find_outer(j);
      for (size_t j = 0; j < word_bits; ++j) store_results(j);
    } else {
      for (size_t j = 0; j < word_bits; j += V::lanes) {
        find_outer(j);
        store_results(j);
      }
    }
    store_bits(mask + i / 8, ~outer, count);
  });
}

template <class A, class Memory>
void backward_from_mask(const Operation&, const void* g, const uint8_t* mask, const char* const* parameters, void* dx,
                        size_t n) {
  using Op = Backward<A>;
  using Item = typename Memory::Item;
  using V = typename Memory::V;
  static_assert(Memory::template decides<Op>);
  const FloatingPointState state;
  V operands[Op::operands];
  for (int k = 0; k < Op::parameters; ++k) operands[Op::data + k] = parameter_of<typename V::Scalar>(parameters[k]);
  for_each_word<Item>(g, dx, n, [&](const Item* from, Item* to, size_t i, size_t count) HALFWAVE_INLINE_LAMBDA {
    const uint64_t inner = load_bits(mask + i / 8, count);
    for (size_t j = 0; j < word_bits; j += V::lanes) {
      operands[0] = Memory::load(from + j);
      operands[1] = select(V::mask_of(inner >> j), V(1), V(0));  // an input on either piece
      V result;
      Op::compute(operands, &result);
      Memory::store(to + j, result);
    }
  });
}

template <class A, class Memory>
constexpr MaskBlocks mask_blocks() {
  return {forward_with_mask<A, Memory>, backward_from_mask<A, Memory>};
}

template <class A>
constexpr MaskRow mask_row() {
  if constexpr (A::info.mask == nullptr)
    return {};
  else
    return {{mask_blocks<A, Narrow<Float16>>(), mask_blocks<A, Narrow<BFloat16>>(), mask_blocks<A, Native<float>>(),
             mask_blocks<A, Native<double>>()}};
}

template <class List>
struct MaskRows;
template <class... Activations>
struct MaskRows<activations::List<Activations...>> {
  static constexpr MaskRow table[] = {mask_row<Activations>()...};
};

}  // namespace
}  // namespace halfwave
