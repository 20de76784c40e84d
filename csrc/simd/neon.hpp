// AArch64 Advanced SIMD: 4 floats or 2 doubles. A mask is a vector whose lanes are all ones or all zeros.
#pragma once

#include <arm_neon.h>

namespace halfwave {
namespace {

struct MaskFloat {
  uint32x4_t v;
  friend HALFWAVE_INLINE MaskFloat operator&(MaskFloat a, MaskFloat b) { return {vandq_u32(a.v, b.v)}; }
  friend HALFWAVE_INLINE MaskFloat operator|(MaskFloat a, MaskFloat b) { return {vorrq_u32(a.v, b.v)}; }
  friend HALFWAVE_INLINE bool any(MaskFloat m) { return vmaxvq_u32(m.v) != 0; }
  friend HALFWAVE_INLINE uint64_t lane_bits(MaskFloat m) {
    const uint32x4_t own = {1, 2, 4, 8};
    return vaddvq_u32(vandq_u32(m.v, own));
  }
};

template <>
struct Vec<float> {
  using Scalar = float;
  using Mask = MaskFloat;
  static constexpr size_t lanes = 4;
  static constexpr bool has_many_registers = true;
  float32x4_t v;

  Vec() = default;
  HALFWAVE_INLINE Vec(float32x4_t x) : v(x) {}
  HALFWAVE_INLINE Vec(float x) : v(vdupq_n_f32(x)) {}

  static HALFWAVE_INLINE Mask mask_of(uint64_t bits) {
    const uint32x4_t own = {1, 2, 4, 8};
    return {vtstq_u32(vdupq_n_u32(uint32_t(bits)), own)};
  }
  static HALFWAVE_INLINE Vec load(const float* p) { return vld1q_f32(p); }
  static HALFWAVE_INLINE Vec load(const float* p, size_t n) {
    float padded[lanes] = {};
    memcpy(padded, p, n * sizeof(float));
    return load(padded);
  }
  HALFWAVE_INLINE Vec in_register() const { return *this; }
  HALFWAVE_INLINE void store(float* p) const { vst1q_f32(p, v); }
  HALFWAVE_INLINE void stream(float* p) const { store(p); }
  HALFWAVE_INLINE void store(float* p, size_t n) const {
    float padded[lanes];
    store(padded);
    memcpy(p, padded, n * sizeof(float));
  }

  friend HALFWAVE_INLINE Vec operator+(Vec a, Vec b) { return vaddq_f32(a.v, b.v); }
  friend HALFWAVE_INLINE Vec operator-(Vec a, Vec b) { return vsubq_f32(a.v, b.v); }
  friend HALFWAVE_INLINE Vec operator*(Vec a, Vec b) { return vmulq_f32(a.v, b.v); }
  friend HALFWAVE_INLINE Vec operator/(Vec a, Vec b) { return vdivq_f32(a.v, b.v); }
  friend HALFWAVE_INLINE Vec operator-(Vec a) { return vnegq_f32(a.v); }
  friend HALFWAVE_INLINE Mask operator<(Vec a, Vec b) { return {vcltq_f32(a.v, b.v)}; }
  friend HALFWAVE_INLINE Mask operator<=(Vec a, Vec b) { return {vcleq_f32(a.v, b.v)}; }
  friend HALFWAVE_INLINE Mask operator>(Vec a, Vec b) { return {vcgtq_f32(a.v, b.v)}; }
  friend HALFWAVE_INLINE Mask operator>=(Vec a, Vec b) { return {vcgeq_f32(a.v, b.v)}; }
  friend HALFWAVE_INLINE Mask operator==(Vec a, Vec b) { return {vceqq_f32(a.v, b.v)}; }
  friend HALFWAVE_INLINE Mask unordered(Vec a, Vec b) {
    return {vmvnq_u32(vandq_u32(vceqq_f32(a.v, a.v), vceqq_f32(b.v, b.v)))};
  }
  // vminq would keep the NaN of either operand.
  friend HALFWAVE_INLINE Vec min(Vec a, Vec b) { return vbslq_f32(vcltq_f32(a.v, b.v), a.v, b.v); }
  friend HALFWAVE_INLINE Vec max(Vec a, Vec b) { return vbslq_f32(vcgtq_f32(a.v, b.v), a.v, b.v); }
  friend HALFWAVE_INLINE Vec abs(Vec a) { return vabsq_f32(a.v); }
  friend HALFWAVE_INLINE Vec sqrt(Vec a) { return vsqrtq_f32(a.v); }
  friend HALFWAVE_INLINE Vec copysign(Vec magnitude, Vec sign) {
    return vbslq_f32(vdupq_n_u32(0x80000000u), sign.v, magnitude.v);
  }
  friend HALFWAVE_INLINE Vec times_sign(Vec a, Vec sign) {
    const uint32x4_t flip = vandq_u32(vreinterpretq_u32_f32(sign.v), vdupq_n_u32(0x80000000u));
    return vreinterpretq_f32_u32(veorq_u32(vreinterpretq_u32_f32(a.v), flip));
  }
  friend HALFWAVE_INLINE Vec fma(Vec a, Vec b, Vec c) { return vfmaq_f32(c.v, a.v, b.v); }
  friend HALFWAVE_INLINE Vec fms(Vec a, Vec b, Vec c) { return vfmaq_f32(vnegq_f32(c.v), a.v, b.v); }
  friend HALFWAVE_INLINE Vec fnma(Vec a, Vec b, Vec c) { return vfmsq_f32(c.v, a.v, b.v); }
  friend HALFWAVE_INLINE Vec select(Mask m, Vec a, Vec b) { return vbslq_f32(m.v, a.v, b.v); }

  friend HALFWAVE_INLINE Vec bits_difference(Vec a, Vec b) {
    return vreinterpretq_f32_u32(vsubq_u32(vreinterpretq_u32_f32(a.v), vreinterpretq_u32_f32(b.v)));
  }
  friend HALFWAVE_INLINE Vec half_octave(Vec t) {
    return vreinterpretq_f32_u32(vshrq_n_u32(vreinterpretq_u32_f32(t.v), 22));
  }
  friend HALFWAVE_INLINE Vec exponent_from_low_bits(Vec t) {
    return vreinterpretq_f32_u32(vshlq_n_u32(vreinterpretq_u32_f32(t.v), 23));
  }
  friend HALFWAVE_INLINE Vec lookup8(const float* table, Vec t) {
    // A byte table of 32 entries: byte j of the lane that asks for i is byte 4i + j.
    const uint8x16x2_t bytes = {
        {vld1q_u8(reinterpret_cast<const uint8_t*>(table)), vld1q_u8(reinterpret_cast<const uint8_t*>(table) + 16)}};
    const uint32x4_t i = vandq_u32(vreinterpretq_u32_f32(t.v), vdupq_n_u32(7));
    const uint32x4_t index = vaddq_u32(vmulq_n_u32(i, 0x04040404u), vdupq_n_u32(0x03020100u));
    return vreinterpretq_f32_u8(vqtbl2q_u8(bytes, vreinterpretq_u8_u32(index)));
  }
  friend HALFWAVE_INLINE Vec lookup16(const float* table, Vec t) {
    const uint8_t* p = reinterpret_cast<const uint8_t*>(table);
    const uint8x16x4_t bytes = {{vld1q_u8(p), vld1q_u8(p + 16), vld1q_u8(p + 32), vld1q_u8(p + 48)}};
    const uint32x4_t i = vandq_u32(vreinterpretq_u32_f32(t.v), vdupq_n_u32(15));
    const uint32x4_t index = vaddq_u32(vmulq_n_u32(i, 0x04040404u), vdupq_n_u32(0x03020100u));
    return vreinterpretq_f32_u8(vqtbl4q_u8(bytes, vreinterpretq_u8_u32(index)));
  }
};

struct MaskDouble {
  uint64x2_t v;
  friend HALFWAVE_INLINE MaskDouble operator&(MaskDouble a, MaskDouble b) { return {vandq_u64(a.v, b.v)}; }
  friend HALFWAVE_INLINE MaskDouble operator|(MaskDouble a, MaskDouble b) { return {vorrq_u64(a.v, b.v)}; }
  friend HALFWAVE_INLINE bool any(MaskDouble m) { return vmaxvq_u32(vreinterpretq_u32_u64(m.v)) != 0; }
  friend HALFWAVE_INLINE uint64_t lane_bits(MaskDouble m) {
    const uint64x2_t own = {1, 2};
    return vaddvq_u64(vandq_u64(m.v, own));
  }
};

template <>
struct Vec<double> {
  using Scalar = double;
  using Mask = MaskDouble;
  static constexpr size_t lanes = 2;
  static constexpr bool has_many_registers = true;
  float64x2_t v;

  Vec() = default;
  HALFWAVE_INLINE Vec(float64x2_t x) : v(x) {}
  HALFWAVE_INLINE Vec(double x) : v(vdupq_n_f64(x)) {}

  static HALFWAVE_INLINE Mask mask_of(uint64_t bits) {
    const uint64x2_t own = {1, 2};
    return {vtstq_u64(vdupq_n_u64(bits), own)};
  }
  static HALFWAVE_INLINE Vec load(const double* p) { return vld1q_f64(p); }
  static HALFWAVE_INLINE Vec load(const double* p, size_t n) {
    double padded[lanes] = {};
    memcpy(padded, p, n * sizeof(double));
    return load(padded);
  }
  HALFWAVE_INLINE Vec in_register() const { return *this; }
  HALFWAVE_INLINE void store(double* p) const { vst1q_f64(p, v); }
  HALFWAVE_INLINE void stream(double* p) const { store(p); }
  HALFWAVE_INLINE void store(double* p, size_t n) const {
    double padded[lanes];
    store(padded);
    memcpy(p, padded, n * sizeof(double));
  }

  friend HALFWAVE_INLINE Vec operator+(Vec a, Vec b) { return vaddq_f64(a.v, b.v); }
  friend HALFWAVE_INLINE Vec operator-(Vec a, Vec b) { return vsubq_f64(a.v, b.v); }
  friend HALFWAVE_INLINE Vec operator*(Vec a, Vec b) { return vmulq_f64(a.v, b.v); }
  friend HALFWAVE_INLINE Vec operator/(Vec a, Vec b) { return vdivq_f64(a.v, b.v); }
  friend HALFWAVE_INLINE Vec operator-(Vec a) { return vnegq_f64(a.v); }
  friend HALFWAVE_INLINE Mask operator<(Vec a, Vec b) { return {vcltq_f64(a.v, b.v)}; }
  friend HALFWAVE_INLINE Mask operator<=(Vec a, Vec b) { return {vcleq_f64(a.v, b.v)}; }
  friend HALFWAVE_INLINE Mask operator>(Vec a, Vec b) { return {vcgtq_f64(a.v, b.v)}; }
  friend HALFWAVE_INLINE Mask operator>=(Vec a, Vec b) { return {vcgeq_f64(a.v, b.v)}; }
  friend HALFWAVE_INLINE Mask operator==(Vec a, Vec b) { return {vceqq_f64(a.v, b.v)}; }
  friend HALFWAVE_INLINE Mask unordered(Vec a, Vec b) {
    const uint64x2_t ordered = vandq_u64(vceqq_f64(a.v, a.v), vceqq_f64(b.v, b.v));
    return {veorq_u64(ordered, vdupq_n_u64(~uint64_t(0)))};
  }
  // vminq would keep the NaN of either operand.
  friend HALFWAVE_INLINE Vec min(Vec a, Vec b) { return vbslq_f64(vcltq_f64(a.v, b.v), a.v, b.v); }
  friend HALFWAVE_INLINE Vec max(Vec a, Vec b) { return vbslq_f64(vcgtq_f64(a.v, b.v), a.v, b.v); }
  friend HALFWAVE_INLINE Vec abs(Vec a) { return vabsq_f64(a.v); }
  friend HALFWAVE_INLINE Vec sqrt(Vec a) { return vsqrtq_f64(a.v); }
  friend HALFWAVE_INLINE Vec copysign(Vec magnitude, Vec sign) {
    return vbslq_f64(vdupq_n_u64(uint64_t(1) << 63), sign.v, magnitude.v);
  }
  friend HALFWAVE_INLINE Vec times_sign(Vec a, Vec sign) {
    const uint64x2_t flip = vandq_u64(vreinterpretq_u64_f64(sign.v), vdupq_n_u64(uint64_t(1) << 63));
    return vreinterpretq_f64_u64(veorq_u64(vreinterpretq_u64_f64(a.v), flip));
  }
  friend HALFWAVE_INLINE Vec fma(Vec a, Vec b, Vec c) { return vfmaq_f64(c.v, a.v, b.v); }
  friend HALFWAVE_INLINE Vec fms(Vec a, Vec b, Vec c) { return vfmaq_f64(vnegq_f64(c.v), a.v, b.v); }
  friend HALFWAVE_INLINE Vec fnma(Vec a, Vec b, Vec c) { return vfmsq_f64(c.v, a.v, b.v); }
  friend HALFWAVE_INLINE Vec select(Mask m, Vec a, Vec b) { return vbslq_f64(m.v, a.v, b.v); }

  friend HALFWAVE_INLINE Vec bits_difference(Vec a, Vec b) {
    return vreinterpretq_f64_u64(vsubq_u64(vreinterpretq_u64_f64(a.v), vreinterpretq_u64_f64(b.v)));
  }
  friend HALFWAVE_INLINE Vec half_octave(Vec t) {
    return vreinterpretq_f64_u64(vshrq_n_u64(vreinterpretq_u64_f64(t.v), 51));
  }
  friend HALFWAVE_INLINE Vec exponent_from_low_bits(Vec t) {
    return vreinterpretq_f64_u64(vshlq_n_u64(vreinterpretq_u64_f64(t.v), 52));
  }
  friend HALFWAVE_INLINE Vec lookup8(const float* table, Vec t) {
    const uint64x2_t i = vandq_u64(vreinterpretq_u64_f64(t.v), vdupq_n_u64(7));
    const double found[lanes] = {table[vgetq_lane_u64(i, 0)], table[vgetq_lane_u64(i, 1)]};
    return load(found);
  }
};

HALFWAVE_INLINE void widen(Vec<float> a, Vec<double>& low, Vec<double>& high) {
  low = vcvt_f64_f32(vget_low_f32(a.v));
  high = vcvt_high_f64_f32(a.v);
}
HALFWAVE_INLINE Vec<float> narrow(Vec<double> low, Vec<double> high) {
  return vcombine_f32(vcvt_f32_f64(low.v), vcvt_f32_f64(high.v));
}

HALFWAVE_INLINE uint32x4_t rounded_to_bfloat(Vec<float> a) {
  const uint32x4_t bits = vreinterpretq_u32_f32(a.v);
  const uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
  return vaddq_u32(vaddq_u32(bits, vdupq_n_u32(0x7fff)), odd);
}
HALFWAVE_INLINE void load_bfloats(const uint16_t* p, Vec<float>& even, Vec<float>& odd) {
  const uint32x4_t both = vreinterpretq_u32_u16(vld1q_u16(p));
  even = vreinterpretq_f32_u32(vshlq_n_u32(both, 16));
  odd = vreinterpretq_f32_u32(vandq_u32(both, vdupq_n_u32(0xffff0000u)));
}
HALFWAVE_INLINE void store_high_halves(uint16_t* p, uint32x4_t even, uint32x4_t odd) {
  vst1q_u16(p, vreinterpretq_u16_u32(vsriq_n_u32(odd, even, 16)));
}
HALFWAVE_INLINE void store_bfloats(uint16_t* p, Vec<float> even, Vec<float> odd) {
  store_high_halves(p, rounded_to_bfloat(even), rounded_to_bfloat(odd));
}
HALFWAVE_INLINE void keep_bfloats(uint16_t* p, Vec<float> even, Vec<float> odd) {
  store_high_halves(p, vreinterpretq_u32_f32(even.v), vreinterpretq_u32_f32(odd.v));
}
HALFWAVE_INLINE void store_bfloats_without_ties(uint16_t* p, Vec<float> even, Vec<float> odd, bool away) {
  const uint32x4_t half = vdupq_n_u32(0x7fff + away);
  store_high_halves(p, vaddq_u32(vreinterpretq_u32_f32(even.v), half), vaddq_u32(vreinterpretq_u32_f32(odd.v), half));
}

HALFWAVE_INLINE uint32x4_t ties_up(Vec<float> a) {
  const int32x4_t bits = vreinterpretq_s32_f32(a.v);
  return vreinterpretq_u32_s32(vaddq_s32(vaddq_s32(bits, vdupq_n_s32(0x8000)), vshrq_n_s32(bits, 31)));
}
HALFWAVE_INLINE void store_bfloats_ties_up(uint16_t* p, Vec<float> even, Vec<float> odd) {
  store_high_halves(p, ties_up(even), ties_up(odd));
}

constexpr int midpoint_stride = 1;
template <int dropped>
HALFWAVE_INLINE uint32_t near_midpoints(Vec<float> a, Vec<float> b, int margin) {
  constexpr int above = 16 - dropped;
  constexpr uint16_t place[8] = {1, 2, 4, 8, 16, 32, 64, 128};
  const uint32x4_t both = vsliq_n_u32(vreinterpretq_u32_f32(a.v), vreinterpretq_u32_f32(b.v), 16);
  const uint16x8_t low = vshlq_n_u16(vreinterpretq_u16_u32(both), above);
  const uint16x8_t shifted = vaddq_u16(low, vdupq_n_u16(uint16_t(margin << above)));
  const int16x8_t last = vdupq_n_s16(int16_t(INT16_MIN + (2 * margin << above)));
  return vaddvq_u16(vandq_u16(vcleq_s16(vreinterpretq_s16_u16(shifted), last), vld1q_u16(place)));
}

HALFWAVE_INLINE Vec<float> load_bfloat(const uint16_t* p) {
  return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16));
}
HALFWAVE_INLINE void store_bfloat(uint16_t* p, Vec<float> a) { vst1_u16(p, vshrn_n_u32(rounded_to_bfloat(a), 16)); }
struct Magnitudes {
  uint16x8_t v;
  static HALFWAVE_INLINE Magnitudes zero() { return {vdupq_n_u16(0)}; }
  static HALFWAVE_INLINE Magnitudes load(const uint16_t* p) { return {vbicq_u16(vld1q_u16(p), vdupq_n_u16(0x8000))}; }
  friend HALFWAVE_INLINE Magnitudes max(Magnitudes a, Magnitudes b) { return {vmaxq_u16(a.v, b.v)}; }
  friend HALFWAVE_INLINE bool any_above(Magnitudes a, uint16_t limit) { return vmaxvq_u16(a.v) > limit; }
};

HALFWAVE_INLINE Vec<float> with_last_bit_of(Vec<float> a, Vec<float> from) {
  const uint32x4_t last = vandq_u32(vreinterpretq_u32_f32(from.v), vdupq_n_u32(1));
  return vreinterpretq_f32_u32(vorrq_u32(vreinterpretq_u32_f32(a.v), last));
}
HALFWAVE_INLINE Vec<float> load_half(const uint16_t* p) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p))); }
HALFWAVE_INLINE void store_half(uint16_t* p, Vec<float> a) { vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(a.v))); }

}  // namespace
}  // namespace halfwave
