// 16-bit floats: stored in 16 bits, computed in float, and rounded as the exact result would be.
//
// A float result decides the 16-bit one unless it is at a midpoint between two 16-bit numbers, or so near to one that its
// own error might lead across. Such results, one in some thousands, are computed once more in double.
#pragma once

#if defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>
#endif

#include "memory.hpp"
#include "simd/simd.hpp"
#include "table.hpp"

namespace halfwave {
namespace {

constexpr size_t lanes = Vec<float>::lanes;
constexpr size_t pair = 2 * lanes;

// Where the exact result is if a float result, not in doubt, is at a midpoint between two 16-bit numbers.
enum class Exact : uint8_t {
  there,      // it may be the midpoint, which goes to the even one
  kept,       // every float result is exact and a 16-bit number
  elsewhere,  // there are no midpoints
  beyond,     // farther from zero
  before,     // nearer to it
  above,      // greater, as x/2 + c*x*x is near 0
  off_half,   // farther from 1/2, as x/5 + 1/2 is with a float in the place of 1/5
};

// The next float that is farther from 1/2, of one in [0, 1].
HALFWAVE_INLINE Vec<float> off_half(Vec<float> a) {
  const Vec<float> step(0x1.4p-24f);  // between half a unit and one and a half
  return fma(a, select(a > Vec<float>(0.5f), step, -step), a);
}

// A format loads and stores two vectors at a time. A factor above `safe` may bring back bits that the other one, far below
// 1, has lost among float's subnormal numbers, or all of them.
struct Float16 {
  static constexpr bool has_range_of_float = false;
  static constexpr int dropped = 13;
  static constexpr uint16_t safe = 0x7bff;                       // the largest finite number
  static constexpr size_t place(size_t j) { return j; }          // where element j of an array is in vectors
  static constexpr size_t index(size_t place) { return place; }  // and which it is
  static constexpr const NarrowKernel& kernel(const Operation& op) { return op.f16; }
  static HALFWAVE_INLINE void load(const uint16_t* p, Vec<float>* v) {
    v[0] = load_half(p);
    v[1] = load_half(p + lanes);
  }
  static HALFWAVE_INLINE void store(uint16_t* p, const Vec<float>* v, Exact exact) {
    store_half(p, off_midpoint(v[0], exact));
    store_half(p + lanes, off_midpoint(v[1], exact));
  }
  // The next float that is farther from zero, or nearer to it: a midpoint then goes that way. Farther than a power of two
  // comes itself; the only such midpoint is that between 0 and the smallest number. Of what goes nearer, a number whose last
  // bit is set remains as it is, so that none becomes a midpoint.
  static HALFWAVE_INLINE Vec<float> off_midpoint(Vec<float> a, Exact exact) {
    if (exact == Exact::beyond) return fma(a, Vec<float>(0x1p-24f), a);
    if (exact == Exact::before) return with_last_bit_of(a * Vec<float>(1 - 0x1p-24f), a);
    const Vec<float> half_of_smallest(0x1p-25f);
    if (exact == Exact::off_half) return off_half(a);
    if (exact == Exact::above) return select(a == half_of_smallest, Vec<float>(0x1.000002p-25f), a);
    return a;
  }
  // Numbers that are subnormal in float16 have fewer bits; scaled so that they are in float too, they drop as many as all.
  static HALFWAVE_INLINE Vec<float> aligned(Vec<float> a) { return a * Vec<float>(0x1p-112f); }
};

struct BFloat16 {
  static constexpr bool has_range_of_float = true;
  static constexpr int dropped = 16;
  static constexpr uint16_t safe = 0x4380;  // 2^8
  static constexpr size_t place(size_t j) { return j / pair * pair + j % 2 * lanes + j % pair / 2; }
  static constexpr size_t index(size_t place) { return place / pair * pair + place % lanes * 2 + place % pair / lanes; }
  static constexpr const NarrowKernel& kernel(const Operation& op) { return op.bf16; }
  static HALFWAVE_INLINE void load(const uint16_t* p, Vec<float>* v) { load_bfloats(p, v[0], v[1]); }
  static HALFWAVE_INLINE void store(uint16_t* p, const Vec<float>* v, Exact exact) {
    if (exact == Exact::there)
      store_bfloats(p, v[0], v[1]);
    else if (exact == Exact::kept)
      keep_bfloats(p, v[0], v[1]);
    else if (exact == Exact::off_half)
      store_bfloats_without_ties(p, off_half(v[0]), off_half(v[1]), false);
    else if (exact == Exact::above)
      store_bfloats_ties_up(p, v[0], v[1]);
    else
      store_bfloats_without_ties(p, v[0], v[1], exact != Exact::before);
  }
  static HALFWAVE_INLINE Vec<float> aligned(Vec<float> a) { return a; }
};

// Two vectors.
template <class Format>
HALFWAVE_INLINE void widen(const uint16_t* from, float* to) {
  Vec<float> both[2];
  Format::load(from, both);
  both[0].store(to);
  both[1].store(to + lanes);
}

// ---- What float does not decide ---------------------------------------------------------------------------------------

// Which float results do not decide the 16-bit one.
struct Undecided {
  int margin = -1;         // those at most so many units from a midpoint between two 16-bit numbers; -1: none
  bool subnormal = false;  // where float16 numbers are subnormal as well
  bool vanishing = false;  // those that have a large factor
  Exact exact = Exact::elsewhere;
  constexpr bool any() const { return margin >= 0 || vanishing; }
};

// x as a float whose last bit tells whether x is inexact: rounded once more to fewer bits, this gives what rounding x
// itself to them would.
HALFWAVE_INLINE float round_to_odd(double x) {
  const float nearest = static_cast<float>(x);
  const double back = nearest;
  uint32_t bits;
  memcpy(&bits, &nearest, sizeof bits);
  bits -= (back < 0 ? -back : back) > (x < 0 ? -x : x);
  bits |= uint32_t(back < x) | uint32_t(back > x);
  float odd;
  memcpy(&odd, &bits, sizeof odd);
  return odd;
}

HALFWAVE_INLINE size_t lowest_bit(uint32_t bits) {
#if defined(_MSC_VER) && !defined(__clang__)
  unsigned long index;
  _BitScanForward(&index, bits);
  return index;
#else
  return size_t(__builtin_ctz(bits));
#endif
}

// Between the place of an element in two vectors and its bit among those that near_midpoints sets.
HALFWAVE_INLINE size_t place_of_bit(size_t bit) {
  const size_t j = bit / midpoint_stride;
  return j % 2 * lanes + j / 2;
}
HALFWAVE_INLINE size_t bit_of_place(size_t place) { return (place % lanes * 2 + place / lanes) * midpoint_stride; }

// x moved by the smallest step there is in double.
HALFWAVE_INLINE double neighbour(double x, bool above) {
  uint64_t bits;
  memcpy(&bits, &x, sizeof bits);
  bits += (x > 0) == above ? 1 : uint64_t(-1);
  memcpy(&x, &bits, sizeof x);
  return x;
}

// Results of one output that are computed once more, in double.
template <class Format>
class Recomputation {
 public:
  HALFWAVE_INLINE Recomputation(const Operation& o, int k, const NarrowOperands& f, uint16_t* t)
      : op(o), output(k), from(f), to(t) {}

  // Of the pair of vectors from element i on, those whose bits near_midpoints would set.
  HALFWAVE_INLINE void add(size_t i, uint32_t found) {
    if (found != 0) [[unlikely]]
      add_each(i, found);
  }

  HALFWAVE_NOINLINE void finish() {
    if (count == 0) return;
    const size_t padded = (count + pair - 1) / pair * pair;
    alignas(64) float operands[capacity] = {};
    Row wide[max_data + max_parameters], results[max_outputs];
    for (int k = 0; k < op.data; ++k) {
      for (size_t j = count; j < padded; ++j) words[k][j] = 0;
      for (size_t j = 0; j < padded; j += pair) widen<Format>(words[k] + j, operands + j);
      for (size_t j = 0; j < count; ++j) wide[k][j] = operands[Format::place(j)];
    }
    for (int k = 0; k < op.parameters; ++k)
      for (size_t j = 0; j < (from.varying ? count : 1); ++j) wide[op.data + k][j] = parameters[k][j];
    run(wide, results);
    if (Format::has_range_of_float) break_ties(wide, results[output]);

    for (size_t j = 0; j < count; ++j) operands[Format::place(j)] = round_to_odd(results[output][j]);
    uint16_t rounded[capacity];
    for (size_t j = 0; j < padded; j += pair) {
      const Vec<float> both[2] = {Vec<float>::load(operands + j), Vec<float>::load(operands + j + lanes)};
      Format::store(rounded + j, both, Exact::there);
    }
    for (size_t j = 0; j < count; ++j) to[places[j]] = rounded[j];
    count = 0;
  }

 private:
  static constexpr size_t capacity = 256;
  using Row = double[capacity];

  const Operation& op;
  const int output;
  const NarrowOperands& from;
  uint16_t* const to;
  size_t count = 0;
  size_t places[capacity];
  uint16_t words[max_data][capacity];
  float parameters[max_parameters][capacity];

  HALFWAVE_NOINLINE void add_each(size_t first, uint32_t found) {
    if (count + pair > capacity) finish();
    for (; found != 0; found &= found - 1, ++count) {
      const size_t i = first + Format::index(place_of_bit(lowest_bit(found)));
      for (int k = 0; k < op.data; ++k) words[k][count] = from.data[k][i];
      for (int k = 0; k < op.parameters; ++k) parameters[k][count] = from.parameters[k][from.varying ? i : 0];
      places[count] = i;
    }
  }

  HALFWAVE_INLINE void run(const Row* operands, Row* results) {
    const double* in[max_operands];
    double* out[max_outputs];
    for (int k = 0; k < op.data + op.parameters; ++k) in[k] = operands[k];
    for (int k = 0; k < op.outputs; ++k) out[k] = results[k];
    (from.varying ? op.f64.varying : op.f64.uniform)(in, out, count);
  }

  // Near 0, where f(x) = x/2 + c*x*x, and the like, x/2 may be a midpoint, and the rest of the sum is beyond the last bit
  // of double as well. Its sign, all that is needed, is that of f(s*x) - s*f(x) for an s*x that is not so small.
  void break_ties(Row* operands, double* results) {
    constexpr double scale = 0x1p110;  // up to where the cube of the smallest x is not lost
    double* x = operands[op.first_not_factor()];
    bool small[capacity];
    bool any_small = false;
    for (size_t j = 0; j < count; ++j) {
      small[j] = x[j] > -0x1p-120 && x[j] < 0x1p-120 && results[j] != 0;
      any_small |= small[j];
      if (small[j]) x[j] *= scale;
    }
    if (!any_small) return;
    Row scaled[max_outputs];
    run(operands, scaled);
    for (size_t j = 0; j < count; ++j) {
      const double linear = results[j] * scale, actual = scaled[output][j];
      if (small[j] && actual != linear) results[j] = neighbour(results[j], actual > linear);
    }
  }
};

// ---- Rounding ---------------------------------------------------------------------------------------------------------

// Whether a factor may bring back what the other one has lost.
template <class Format>
HALFWAVE_INLINE bool has_large_factor(const Operation& op, const NarrowOperands& from, size_t n) {
  Magnitudes largest = Magnitudes::zero();
  for (int k = 0; k < op.data; ++k)
    if (op.is_factor(k))
      for (size_t i = 0; i < n; i += pair) largest = max(largest, Magnitudes::load(from.data[k] + i));
  return any_above(largest, Format::safe);
}

// Rounds float results of one output, which lie in the order of Format::load; n is a multiple of pair.
template <class Format, Undecided undecided>
class Rounding {
 public:
  // Which elements of two vectors are close to a midpoint, as near_midpoints says it.
  static HALFWAVE_INLINE uint32_t close(const Vec<float>* both) {
    const auto aligned = [](Vec<float> result)
                             HALFWAVE_INLINE_LAMBDA { return undecided.subnormal ? Format::aligned(result) : result; };
    return near_midpoints<Format::dropped>(aligned(both[0]), aligned(both[1]), undecided.margin);
  }

  // `large`: whether there may be a large factor.
  static void round(const Operation& op, int output, const NarrowOperands& from, const float* results, bool large,
                    uint16_t* to, size_t n) {
    Recomputation<Format> again(op, output, from, to);
    for (size_t i = 0; i < n; i += pair) {
      const Vec<float> both[2] = {Vec<float>::load(results + i), Vec<float>::load(results + i + lanes)};
      uint32_t found = 0;
      if constexpr (undecided.margin >= 0) found |= close(both);
      if constexpr (undecided.vanishing)
        if (large) [[unlikely]]
          found |= vanished(op, from, both, i);
      again.add(i, found);
      Format::store(to + i, both, undecided.exact);
    }
    if constexpr (undecided.any()) again.finish();
  }

 private:
  // Which elements a large factor may bring back.
  static HALFWAVE_INLINE uint32_t vanished(const Operation& op, const NarrowOperands& from, const Vec<float>* both,
                                           size_t i) {
    uint32_t places = 0, found = 0;
    if constexpr (Format::has_range_of_float) {
      for (int k = 0; k < op.data; ++k) {
        if (!op.is_factor(k)) continue;
        Vec<float> factor[2];
        Format::load(from.data[k] + i, factor);
        for (int u = 0; u < 2; ++u) places |= uint32_t(lane_bits(abs(factor[u]) > Vec<float>(0x1p8f))) << u * lanes;
      }
    } else {
      for (int u = 0; u < 2; ++u) places |= uint32_t(lane_bits(unordered(both[u], both[u]))) << u * lanes;
    }
    for (; places != 0; places &= places - 1) found |= uint32_t(1) << bit_of_place(lowest_bit(places));
    return found;
  }
};

// ---- Blocks -----------------------------------------------------------------------------------------------------------

// Rounds all outputs, the first of which may lie where operands do.
template <int outputs, class Round>
HALFWAVE_INLINE void round_all(const Operation& op, const NarrowOperands& from, const float (*results)[chunk],
                               bool large, uint16_t* const* to, size_t n, Round round) {
  if constexpr (outputs == 1) {
    round(op, 0, from, results[0], large, to[0], n);
  } else {
    uint16_t kept[max_data][chunk];
    NarrowOperands copies = from;
    for (int k = 0; k < op.data; ++k)
      copies.data[k] = static_cast<const uint16_t*>(memcpy(kept[k], from.data[k], n * sizeof(uint16_t)));
    for (int k = 0; k < op.outputs; ++k) round(op, k, copies, results[k], large, to[k], n);
  }
}

// Without vectors of the operation's own: for at most a chunk in which any result may be undecided.
template <class Format>
HALFWAVE_NOINLINE void narrow_staged(const Operation& op, const NarrowOperands& from, uint16_t* const* to, size_t n) {
  alignas(64) float operands[max_data][chunk];
  alignas(64) float results[max_outputs][chunk];
  const float* in[max_operands];
  float* out[max_outputs];
  for (int k = 0; k < op.data; ++k) {
    in[k] = operands[k];
    for (size_t i = 0; i < n; i += pair) widen<Format>(from.data[k] + i, operands[k] + i);
  }
  for (int k = 0; k < op.parameters; ++k) in[op.data + k] = from.parameters[k];
  for (int k = 0; k < op.outputs; ++k) out[k] = results[k];
  Format::kernel(op).floats.uniform(in, out, n);
  round_all<max_outputs>(op, from, results, true, to, n, Format::kernel(op).round);
}

// The same for any number of elements.
template <class Format>
HALFWAVE_NOINLINE void narrow_staged_by_chunks(const Operation& op, const NarrowOperands& from, uint16_t* const* to,
                                               size_t n) {
  NarrowOperands part = from;
  uint16_t* target[max_outputs];
  for (size_t first = 0; first < n; first += chunk) {
    for (int k = 0; k < op.data; ++k) part.data[k] = from.data[k] + first;
    for (int k = 0; k < op.outputs; ++k) target[k] = to[k] + first;
    narrow_staged<Format>(op, part, target, n - first < chunk ? n - first : chunk);
  }
}

// The same for a number that is no multiple of vectors, each parameter being one value.
template <class Format>
void narrow_block_in_float(const Operation& op, const NarrowOperands& from, uint16_t* const* out, size_t n) {
  NarrowOperands part = from;
  uint16_t words[max_data][chunk], results[max_outputs][chunk];
  uint16_t* to[max_outputs];
  for (int k = 0; k < op.outputs; ++k) to[k] = results[k];
  for (size_t first = 0; first < n; first += chunk) {
    const size_t m = n - first < chunk ? n - first : chunk, padded = (m + pair - 1) / pair * pair;
    for (int k = 0; k < op.data; ++k) {
      part.data[k] = static_cast<const uint16_t*>(memcpy(words[k], from.data[k] + first, m * sizeof(uint16_t)));
      memset(words[k] + m, 0, (padded - m) * sizeof(uint16_t));
    }
    narrow_staged<Format>(op, part, to, padded);
    for (int k = 0; k < op.outputs; ++k) memcpy(out[k] + first, results[k], m * sizeof(uint16_t));
  }
}

// 2 * pairs vectors of each output.
template <class Op, int pairs>
struct Group {
  Vec<float> results[Op::outputs][pairs][2];
};

// f(0), …, f(n - 1). A loop that the compiler does not unroll would send vectors through memory.
template <int n, class F>
HALFWAVE_INLINE void unrolled(F f) {
  if constexpr (n > 0) {
    unrolled<n - 1>(f);
    f(n - 1);
  }
}

// Computes a group from element i on, and looks at factors.
template <class Op, class Format, Undecided undecided, int pairs>
HALFWAVE_INLINE void compute_group(const uint16_t* const* source, const Vec<float>* parameters, size_t i,
                                   Magnitudes& largest, Group<Op, pairs>& group) {
  using V = Vec<float>;
  unrolled<pairs>([&](int p) HALFWAVE_INLINE_LAMBDA {
    V data[Op::data][2];
    for (int k = 0; k < Op::data; ++k) {
      Format::load(source[k] + i + p * pair, data[k]);
      if (undecided.vanishing && (Op::factors >> k & 1) != 0)
        largest = max(largest, Magnitudes::load(source[k] + i + p * pair));
    }
    unrolled<2>([&](int u) HALFWAVE_INLINE_LAMBDA {
      V in[Op::operands], out[Op::outputs];
      for (int k = 0; k < Op::data; ++k) in[k] = data[k][u];
      for (int k = 0; k < Op::parameters; ++k) in[Op::data + k] = parameters[k];
      Op::compute(in, out);
      for (int k = 0; k < Op::outputs; ++k) group.results[k][p][u] = out[k];
    });
  });
}

// Elements of which is noted which ones are undecided, before those are computed again: to branch for each of them sooner
// would discard, one time in thousands, what the processor has begun of the next elements.
constexpr size_t noted = 4096;

// Computes again those of one output whose bits are set.
template <class Format>
HALFWAVE_NOINLINE void compute_again(const Operation& op, int output, const NarrowOperands& from, const uint32_t* close,
                                     uint16_t* to, size_t n) {
  constexpr size_t span = 4;
  Recomputation<Format> again(op, output, from, to);
  const size_t words = n / pair;
  size_t j = 0;
  for (; j + span <= words; j += span)
    if ((close[j] | close[j + 1] | close[j + 2] | close[j + 3]) != 0) [[unlikely]]
      for (size_t k = j; k < j + span; ++k) again.add(k * pair, close[k]);
  for (; j < words; ++j) again.add(j * pair, close[j]);
  again.finish();
}

template <class Op>
HALFWAVE_INLINE void broadcast_parameters(const NarrowOperands& from, Vec<float>* parameters) {
  for (int k = 0; k < Op::parameters; ++k) parameters[k] = Vec<float>(*from.parameters[k]);
}

// n is a multiple of 2 * pairs vectors. Results are rounded after the next group has been computed: then they do not wait
// for each other in the processor's queues.
template <class Op, class Format, Undecided undecided, int pairs>
HALFWAVE_NOINLINE void narrow_groups(const Operation& op, const NarrowOperands& from, uint16_t* const* out, size_t n) {
  Vec<float> parameters[Op::parameters + 1];
  broadcast_parameters<Op>(from, parameters);
  constexpr size_t group = pairs * pair;
  constexpr size_t most = undecided.any() ? noted : ~size_t(0) / group * group;
  uint16_t kept[undecided.any() ? Op::data : 1][noted];  // what results would overwrite
  uint32_t close[Op::outputs][noted / pair];
  const uint16_t* source[Op::data];
  uint16_t* target[Op::outputs];
  for (size_t first = 0; first < n; first += most) {
    const size_t m = n - first < most ? n - first : most;
    NarrowOperands part = from;
    for (int k = 0; k < Op::data; ++k) part.data[k] = source[k] = from.data[k] + first;
    for (int k = 0; k < Op::outputs; ++k) target[k] = out[k] + first;
    if constexpr (undecided.any())
      for (int k = 0; k < Op::data; ++k)
        for (int j = 0; j < Op::outputs; ++j)
          if (part.data[k] == target[j])
            part.data[k] = static_cast<const uint16_t*>(memcpy(kept[k], part.data[k], m * sizeof(uint16_t)));

    Magnitudes largest = Magnitudes::zero();
    const auto compute = [&](size_t i, Group<Op, pairs>& to) HALFWAVE_INLINE_LAMBDA {
      compute_group<Op, Format, undecided, pairs>(source, parameters, i, largest, to);
    };
    const auto round = [&](size_t i, const Group<Op, pairs>& computed) HALFWAVE_INLINE_LAMBDA {
      unrolled<Op::outputs * pairs>([&](int j) HALFWAVE_INLINE_LAMBDA {
        const int k = j / pairs, p = j % pairs;
        const Vec<float>* both = computed.results[k][p];
        if constexpr (undecided.margin >= 0) close[k][i / pair + p] = Rounding<Format, undecided>::close(both);
        Format::store(target[k] + i + p * pair, both, undecided.exact);
      });
    };
    // What the first round stores is overwritten by the second one.
    Group<Op, pairs> before{}, next;
    for (size_t i = 0; i < m; i += group) {
      compute(i, next);
      round(i == 0 ? 0 : i - group, before);
      before = next;
    }
    round(m - group, before);

    if (undecided.vanishing && any_above(largest, Format::safe)) [[unlikely]]
      narrow_staged_by_chunks<Format>(op, part, target, m);
    else if constexpr (undecided.margin >= 0)
      for (int k = 0; k < Op::outputs; ++k) compute_again<Format>(op, k, part, close[k], target[k], m);
  }
}

// An operation's form for ordinary parameters, if it has one.
template <class Op, class V>
struct Lean;

// Each parameter is one value.
template <class Op, class Format, Undecided undecided>
void narrow_block(const Operation& op, const NarrowOperands& from, uint16_t* const* out, size_t n) {
  constexpr int pairs = Op::unroll / 2;
  constexpr size_t group = pairs * pair;
  if constexpr (requires { typename Lean<Op, Vec<float>>::Type; }) {
    Vec<float> parameters[Op::parameters];
    broadcast_parameters<Op>(from, parameters);
    if (Lean<Op, Vec<float>>::suits(parameters))
      return narrow_block<typename Lean<Op, Vec<float>>::Type, Format, undecided>(op, from, out, n);
  }
  const size_t whole = n / group * group;
  if (whole != 0) narrow_groups<Op, Format, undecided, pairs>(op, from, out, whole);
  if (whole == n) return;

  uint16_t padded[Op::data + Op::outputs][group] = {};
  NarrowOperands rest = from;
  uint16_t* to[Op::outputs];
  const size_t size = (n - whole) * sizeof(uint16_t);
  for (int k = 0; k < Op::data; ++k)
    rest.data[k] = static_cast<const uint16_t*>(memcpy(padded[k], from.data[k] + whole, size));
  for (int k = 0; k < Op::outputs; ++k) to[k] = padded[Op::data + k];
  narrow_groups<Op, Format, undecided, 1>(op, rest, to, (n - whole + pair - 1) / pair * pair);
  for (int k = 0; k < Op::outputs; ++k) memcpy(out[k] + whole, to[k], size);
}

// ---- Memory -----------------------------------------------------------------------------------------------------------

// A NaN of a payload that a bfloat16 has room for.
HALFWAVE_INLINE float parameter_at(const char* p) {
  float value;
  memcpy(&value, p, sizeof value);
  return value == value ? value : NAN;
}

inline void write(char* to, ptrdiff_t stride, const uint16_t* results, size_t n, bool streaming) {
  if (stride == sizeof(uint16_t))
    put(to, results, n * sizeof(uint16_t), streaming);
  else
    scatter(to, stride, results, n);
}

template <class Format>
void narrow_uniform(const Operation& op, char* const* operands, const ptrdiff_t* strides, size_t n, bool streaming) {
  const int inputs = op.data + op.parameters;
  float values[max_parameters];
  NarrowOperands from;
  for (int k = 0; k < op.parameters; ++k) {
    values[k] = parameter_at(operands[op.data + k]);
    from.parameters[k] = &values[k];
  }
  bool packed = true;
  for (int k = 0; k < op.data; ++k) packed &= strides[k] == sizeof(uint16_t);
  for (int k = inputs; k < op.operands(); ++k) packed &= strides[k] == sizeof(uint16_t);

  uint16_t buffers[max_operands][chunk];
  uint16_t* out[max_outputs];
  const size_t most = packed && !streaming ? n : chunk;
  size_t m = first_piece(operands[inputs], sizeof(uint16_t), n, most, streaming || (packed && n >= many));
  for (size_t i = 0; i < n; i += m, m = n - i < most ? n - i : most) {
    const auto at = [&](int k) { return operands[k] + ptrdiff_t(i) * strides[k]; };
    for (int k = 0; k < op.data; ++k) from.data[k] = source(at(k), strides[k], m, buffers[k]);
    for (int k = inputs; k < op.operands(); ++k) out[k - inputs] = target(at(k), strides[k], buffers[k], streaming);
    Format::kernel(op).block(op, from, out, m);
    for (int k = inputs; k < op.operands(); ++k) deliver(at(k), strides[k], buffers[k], m, streaming);
  }
}

template <class Format>
void narrow_varying(const Operation& op, char* const* operands, const ptrdiff_t* strides, size_t n, bool streaming) {
  alignas(64) float buffers[max_operands][chunk];
  float parameters[max_parameters][chunk];
  uint16_t packed[max_data + 1][chunk] = {};
  const float* in[max_operands];
  float* out[max_outputs];
  const int inputs = op.data + op.parameters;
  NarrowOperands from;
  from.varying = true;
  for (int k = 0; k < op.data; ++k) from.data[k] = packed[k];
  for (int k = 0; k < op.parameters; ++k) from.parameters[k] = parameters[k];
  for (int k = 0; k < inputs; ++k) in[k] = buffers[k];
  for (int k = 0; k < op.outputs; ++k) out[k] = buffers[inputs + k];
  size_t m = first_piece(operands[inputs], sizeof(uint16_t), n, chunk, streaming);
  for (size_t i = 0; i < n; i += m, m = n - i < chunk ? n - i : chunk) {
    const size_t padded = (m + pair - 1) / pair * pair;
    const auto at = [&](int k) { return operands[k] + ptrdiff_t(i) * strides[k]; };
    for (int k = 0; k < op.data; ++k) {
      gather(packed[k], at(k), strides[k], m);
      for (size_t j = 0; j < padded; j += pair) widen<Format>(packed[k] + j, buffers[k] + j);
    }
    for (int k = op.data; k < inputs; ++k)
      for (size_t j = 0; j < padded; ++j)
        buffers[k][Format::place(j)] = parameters[k - op.data][j] =
            j < m ? parameter_at(at(k) + ptrdiff_t(j) * strides[k]) : 0.0f;
    Format::kernel(op).floats.varying(in, out, padded);
    const bool large = has_large_factor<Format>(op, from, padded);
    uint16_t* results = packed[max_data];
    for (int k = 0; k < op.outputs; ++k) {
      Format::kernel(op).round(op, k, from, out[k], large, results, padded);
      write(at(inputs + k), strides[inputs + k], results, m, streaming);
    }
  }
}

template <class Format>
void run_narrow(const Operation& op, char* const* operands, const ptrdiff_t* strides, size_t n, bool streaming) {
  bool varying = false;
  for (int k = op.data; k < op.data + op.parameters; ++k) varying |= strides[k] != 0;
  (varying ? narrow_varying<Format> : narrow_uniform<Format>)(op, operands, strides, n, streaming);
  if (streaming) finish_streaming();
}

}  // namespace
}  // namespace halfwave
