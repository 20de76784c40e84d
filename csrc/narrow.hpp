// 16-bit floats: stored in 16 bits, computed in float, and rounded as the exact result would be.
//
// A float result decides the 16-bit one unless it is so near to a midpoint between two 16-bit numbers that its own error
// might lead across. Such lanes, about one in a thousand, are computed once more in double.
#pragma once

#include "memory.hpp"
#include "simd/simd.hpp"
#include "table.hpp"

namespace halfwave {
namespace {

constexpr size_t lanes = Vec<float>::lanes;
constexpr size_t pair = 2 * lanes;

// A format loads and stores two vectors at a time. `store_settled` is for results of which none is halfway between two
// numbers.
struct Float16 {
  static constexpr bool has_range_of_float = false;
  static HALFWAVE_INLINE void load(const uint16_t* p, Vec<float>* v) {
    v[0] = load_half(p);
    v[1] = load_half(p + lanes);
  }
  static HALFWAVE_INLINE void store(uint16_t* p, const Vec<float>* v) {
    store_half(p, v[0]);
    store_half(p + lanes, v[1]);
  }
  static HALFWAVE_INLINE void store_settled(uint16_t* p, const Vec<float>* v) { store(p, v); }
  static HALFWAVE_INLINE float settled(float odd) { return odd; }
  static constexpr size_t place(size_t j) { return j; }  // where element j is among two vectors

  // Subnormal numbers have fewer bits; moved up by the smallest normal one, they drop as many as all others.
  template <int margin>
  static HALFWAVE_INLINE Vec<float>::Mask is_near_midpoint(Vec<float> a) {
    const Vec<float> size = abs(a), smallest_normal = 0x1p-14f;
    return near_midpoint<13, margin>(add_where(size < smallest_normal, size, smallest_normal));
  }
};

struct BFloat16 {
  static constexpr bool has_range_of_float = true;
  static HALFWAVE_INLINE void load(const uint16_t* p, Vec<float>* v) { load_bfloats(p, v[0], v[1]); }
  static HALFWAVE_INLINE void store(uint16_t* p, const Vec<float>* v) { store_bfloats(p, v[0], v[1]); }
  static HALFWAVE_INLINE void store_settled(uint16_t* p, const Vec<float>* v) {
    store_bfloats_without_ties(p, v[0], v[1]);
  }
  static constexpr size_t place(size_t j) { return j % 2 * lanes + j / 2; }
  static HALFWAVE_INLINE float settled(float odd) {
    uint32_t bits;
    memcpy(&bits, &odd, sizeof bits);
    bits = (bits + 0x7fff + ((bits >> 16) & 1)) & 0xffff0000u;
    memcpy(&odd, &bits, sizeof bits);
    return odd;
  }
  template <int margin>
  static HALFWAVE_INLINE Vec<float>::Mask is_near_midpoint(Vec<float> a) {
    return near_midpoint<16, margin>(a);
  }
};

// ---- What float does not decide ---------------------------------------------------------------------------------------

// x as a float whose last bit tells whether x is inexact: rounded once more to fewer bits, this gives what rounding x
// itself to them would.
HALFWAVE_INLINE float round_to_odd(double x) {
  const float nearest = static_cast<float>(x);
  const double back = nearest;
  if (back == x || x != x) return nearest;
  uint32_t bits;
  memcpy(&bits, &nearest, sizeof bits);
  if ((back < 0 ? -back : back) > (x < 0 ? -x : x)) --bits;
  bits |= 1;
  float odd;
  memcpy(&odd, &bits, sizeof odd);
  return odd;
}

// x moved by the smallest step there is in double.
HALFWAVE_INLINE double neighbour(double x, bool above) {
  uint64_t bits;
  memcpy(&bits, &x, sizeof bits);
  bits += (x > 0) == above ? 1 : uint64_t(-1);
  memcpy(&x, &bits, sizeof x);
  return x;
}

// Near 0, where f(x) = x/2 + c*x*x, and the like, x/2 may be a midpoint, and the rest of the sum is beyond the last bit of
// double as well. Its sign, all that is needed, is that of f(s*x) - s*f(x) for an s*x that is not so small.
inline void break_ties(const Operation& op, double (*operands)[lanes], const double* const* in, int output,
                       double* results, size_t n) {
  constexpr double scale = 0x1p110;  // up to where the cube of the smallest x is not lost
  double* x = operands[op.first_not_factor()];
  bool small[lanes];
  bool any_small = false;
  for (size_t j = 0; j < n; ++j) {
    small[j] = x[j] > -0x1p-120 && x[j] < 0x1p-120 && results[j] != 0;
    any_small |= small[j];
    if (small[j]) x[j] *= scale;
  }
  if (!any_small) return;
  double scaled[max_outputs][lanes];
  double* out[max_outputs];
  for (int k = 0; k < op.outputs; ++k) out[k] = scaled[k];
  op.f64.varying(in, out, n);
  for (size_t j = 0; j < n; ++j) {
    const double linear = results[j] * scale, actual = scaled[output][j];
    if (small[j] && actual != linear) results[j] = neighbour(results[j], actual > linear);
  }
}

// The results of one output with the chosen lanes from double, as floats whose rounding to 16 bits is that of the exact
// value.
template <class Format>
HALFWAVE_NOINLINE Vec<float> recompute(const Operation& op, const Vec<float>* operands, int output,
                                       Vec<float>::Mask chosen, Vec<float> results) {
  float flags[lanes], settled[lanes], narrow[lanes];
  select(chosen, Vec<float>(1.0f), Vec<float>(0.0f)).store(flags);
  results.store(settled);
  size_t lane[lanes], n = 0;
  for (size_t j = 0; j < lanes; ++j)
    if (flags[j] != 0) lane[n++] = j;

  double wide[max_operands][lanes];
  const double* in[max_operands];
  double* out[max_outputs];
  const int inputs = op.data + op.parameters;
  for (int k = 0; k < inputs; ++k) {
    operands[k].store(narrow);
    for (size_t j = 0; j < n; ++j) wide[k][j] = narrow[lane[j]];
    in[k] = wide[k];
  }
  for (int k = 0; k < op.outputs; ++k) out[k] = wide[inputs + k];
  op.f64.varying(in, out, n);
  if (Format::has_range_of_float) break_ties(op, wide, in, output, out[output], n);
  for (size_t j = 0; j < n; ++j) settled[lane[j]] = Format::settled(round_to_odd(out[output][j]));
  return Vec<float>::load(settled);
}

// The lanes of a result that float does not decide. Each depends on nothing but its own operands.
template <class Format, int margin>
HALFWAVE_INLINE Vec<float>::Mask is_doubtful(int data, int factors, const Vec<float>* operands, Vec<float> result) {
  auto doubtful = Format::template is_near_midpoint<margin>(result);
  // An infinite factor times one that vanishes in float only is not NaN; and a large one brings back the bits that the
  // other, far below 1, has lost among float's subnormal numbers.
  if (factors != 0 && !Format::has_range_of_float) doubtful = doubtful | unordered(result, result);
  if (Format::has_range_of_float)
    for (int k = 0; k < data; ++k)
      if ((factors >> k & 1) != 0) doubtful = doubtful | (abs(operands[k]) > Vec<float>(0x1p8f));
  return doubtful;
}

// ---- Blocks -----------------------------------------------------------------------------------------------------------

// 2 * pairs vectors of each operand.
template <class Op, class Format, int pairs>
HALFWAVE_INLINE void narrow_group(const Operation& op, const uint16_t* const* source, uint16_t* const* target, size_t i,
                                  const Vec<float>* parameters) {
  using V = Vec<float>;
  V in[2 * pairs][Op::operands], out[2 * pairs][Op::outputs];
  for (int k = 0; k < Op::data; ++k)
    for (int p = 0; p < pairs; ++p) {
      V both[2];
      Format::load(source[k] + i + 2 * p * lanes, both);
      in[2 * p][k] = both[0];
      in[2 * p + 1][k] = both[1];
    }
  for (int u = 0; u < 2 * pairs; ++u) {
    for (int k = 0; k < Op::parameters; ++k) in[u][Op::data + k] = parameters[k];
    Op::compute(in[u], out[u]);
  }
  if constexpr (Op::margin >= 0) {
    const auto doubtful = [&](int u, int k) HALFWAVE_INLINE_LAMBDA {
      return is_doubtful<Format, Op::margin>(Op::data, Op::factors, in[u], out[u][k]);
    };
    auto anywhere = doubtful(0, 0);
    for (int u = 0; u < 2 * pairs; ++u)
      for (int k = 0; k < Op::outputs; ++k)
        if (u + k > 0) anywhere = anywhere | doubtful(u, k);
    if (any(anywhere)) [[unlikely]]
      for (int u = 0; u < 2 * pairs; ++u) {
        V copy[Op::operands];  // so that the originals can stay in registers
        for (int k = 0; k < Op::operands; ++k) copy[k] = in[u][k];
        for (int k = 0; k < Op::outputs; ++k)
          if (const auto mask = doubtful(u, k); any(mask)) out[u][k] = recompute<Format>(op, copy, k, mask, out[u][k]);
      }
  }
  for (int k = 0; k < Op::outputs; ++k)
    for (int p = 0; p < pairs; ++p) {
      const V both[2] = {out[2 * p][k], out[2 * p + 1][k]};
      uint16_t* to = target[k] + i + 2 * p * lanes;
      if constexpr (Op::margin >= 0)
        Format::store_settled(to, both);
      else
        Format::store(to, both);
    }
}

// Each parameter is one value.
template <class Op, class Format>
void narrow_block(const Operation& op, const uint16_t* const* in, const float* const* parameters, uint16_t* const* out,
                  size_t n) {
  constexpr int pairs = Op::unroll / 2;
  constexpr size_t group = pairs * pair;
  const uint16_t* source[Op::data];
  uint16_t* target[Op::outputs];
  for (int k = 0; k < Op::data; ++k) source[k] = in[k];
  for (int k = 0; k < Op::outputs; ++k) target[k] = out[k];
  Vec<float> values[Op::parameters + 1];
  for (int k = 0; k < Op::parameters; ++k) values[k] = Vec<float>(*parameters[k]);

  size_t i = 0;
  for (; i + group <= n; i += group) narrow_group<Op, Format, pairs>(op, source, target, i, values);
  for (; i < n; i += pair) {
    uint16_t padded[Op::data + Op::outputs][pair] = {};
    const size_t size = (n - i < pair ? n - i : pair) * sizeof(uint16_t);
    const uint16_t* from[Op::data];
    uint16_t* to[Op::outputs];
    for (int k = 0; k < Op::data; ++k) from[k] = static_cast<uint16_t*>(memcpy(padded[k], source[k] + i, size));
    for (int k = 0; k < Op::outputs; ++k) to[k] = padded[Op::data + k];
    narrow_group<Op, Format, 1>(op, from, to, 0, values);
    for (int k = 0; k < Op::outputs; ++k) memcpy(target[k] + i, to[k], size);
  }
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
  const float* parameters[max_parameters];
  for (int k = op.data; k < inputs; ++k) {
    values[k - op.data] = parameter_at(operands[k]);
    parameters[k - op.data] = &values[k - op.data];
  }
  bool packed = true;
  for (int k = 0; k < op.data; ++k) packed &= strides[k] == sizeof(uint16_t);
  for (int k = inputs; k < op.operands(); ++k) packed &= strides[k] == sizeof(uint16_t);

  uint16_t buffers[max_operands][chunk];
  const uint16_t* in[max_data];
  uint16_t* out[max_outputs];
  const size_t most = packed && !streaming ? n : chunk;
  size_t m = first_piece<uint16_t>(operands[inputs], n, most, streaming);
  for (size_t i = 0; i < n; i += m, m = n - i < most ? n - i : most) {
    const auto at = [&](int k) { return operands[k] + ptrdiff_t(i) * strides[k]; };
    for (int k = 0; k < op.data; ++k) in[k] = source(at(k), strides[k], m, buffers[k]);
    for (int k = inputs; k < op.operands(); ++k) out[k - inputs] = target(at(k), strides[k], buffers[k], streaming);
    (Format::has_range_of_float ? op.bf16 : op.f16)(op, in, parameters, out, m);
    for (int k = inputs; k < op.operands(); ++k) deliver(at(k), strides[k], buffers[k], m, streaming);
  }
}

// Rounds a chunk of one output, which lies in the order of Format::load, as its operands do.
template <class Format, int margin>
void round_chunk(const Operation& op, const float* const* in, const float* results, int output, uint16_t* to,
                 size_t n) {
  for (size_t i = 0; i < n; i += pair) {
    Vec<float> settled[2];
    for (int u = 0; u < 2; ++u) {
      const size_t first = i + size_t(u) * lanes;
      Vec<float> operands[max_data + max_parameters];
      const int inputs = op.data + op.parameters;
      for (int k = 0; k < inputs; ++k) operands[k] = Vec<float>::load(in[k] + first);
      settled[u] = Vec<float>::load(results + first);
      if constexpr (margin >= 0) {
        const auto doubtful = is_doubtful<Format, margin>(op.data, op.factors, operands, settled[u]);
        if (any(doubtful)) [[unlikely]]
          settled[u] = recompute<Format>(op, operands, output, doubtful, settled[u]);
      }
    }
    Format::store(to + i, settled);
  }
}

template <class Format>
void narrow_varying(const Operation& op, char* const* operands, const ptrdiff_t* strides, size_t n, bool streaming) {
  constexpr auto place = [](size_t j) { return Format::place(j % pair) + j / pair * pair; };
  constexpr decltype(&round_chunk<Format, 0>) rounding[] = {round_chunk<Format, -1>, round_chunk<Format, 0>,
                                                            round_chunk<Format, 1>,  round_chunk<Format, 2>,
                                                            round_chunk<Format, 3>,  round_chunk<Format, 4>};
  alignas(64) float buffers[max_operands][chunk];
  const float* in[max_operands];
  float* out[max_outputs];
  const int inputs = op.data + op.parameters;
  for (int k = 0; k < inputs; ++k) in[k] = buffers[k];
  for (int k = 0; k < op.outputs; ++k) out[k] = buffers[inputs + k];
  size_t m = first_piece<uint16_t>(operands[inputs], n, chunk, streaming);
  for (size_t i = 0; i < n; i += m, m = n - i < chunk ? n - i : chunk) {
    const size_t padded = (m + pair - 1) / pair * pair;
    const auto at = [&](int k) { return operands[k] + ptrdiff_t(i) * strides[k]; };
    uint16_t packed[chunk] = {};
    for (int k = 0; k < op.data; ++k) {
      gather(packed, at(k), strides[k], m);
      for (size_t j = 0; j < m; j += pair) {
        Vec<float> v[2];
        Format::load(packed + j, v);
        v[0].store(buffers[k] + j);
        v[1].store(buffers[k] + j + lanes);
      }
    }
    for (int k = op.data; k < inputs; ++k)
      for (size_t j = 0; j < padded; ++j)
        buffers[k][place(j)] = j < m ? parameter_at(at(k) + ptrdiff_t(j) * strides[k]) : 0.0f;
    op.f32.varying(in, out, padded);
    for (int k = 0; k < op.outputs; ++k) {
      rounding[op.margin + 1](op, in, out[k], k, packed, padded);
      write(at(inputs + k), strides[inputs + k], packed, m, streaming);
    }
  }
}

template <class Format>
void run_narrow(const Operation& op, char* const* operands, const ptrdiff_t* strides, size_t n, bool streaming) {
  bool varying = false;
  for (int k = op.data; k < op.data + op.parameters; ++k) varying |= strides[k] != 0;
  (varying || !op.f16 ? narrow_varying<Format> : narrow_uniform<Format>)(op, operands, strides, n, streaming);
  if (streaming) finish_streaming();
}

}  // namespace
}  // namespace halfwave
