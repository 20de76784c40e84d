// AVX2, FMA and F16C: 8 floats or 4 doubles. A mask is a vector whose lanes are all ones or all zeros.
#pragma once

#include <immintrin.h>

namespace halfwave {
namespace {

// Eight words of ones, then eight of zeros: the window that begins 8 - n words in enables the first n lanes.
alignas(32) constexpr int32_t first_lanes[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};

struct MaskFloat {
  __m256 v;
  friend HALFWAVE_INLINE MaskFloat operator&(MaskFloat a, MaskFloat b) { return {_mm256_and_ps(a.v, b.v)}; }
  friend HALFWAVE_INLINE MaskFloat operator|(MaskFloat a, MaskFloat b) { return {_mm256_or_ps(a.v, b.v)}; }
  friend HALFWAVE_INLINE bool any(MaskFloat m) { return _mm256_movemask_ps(m.v) != 0; }
  friend HALFWAVE_INLINE uint64_t lane_bits(MaskFloat m) { return uint64_t(_mm256_movemask_ps(m.v)); }
};

template <>
struct Vec<float> {
  using Scalar = float;
  using Mask = MaskFloat;
  static constexpr size_t lanes = 8;
  static constexpr bool has_many_registers = false;
  __m256 v;

  Vec() = default;
  HALFWAVE_INLINE Vec(__m256 x) : v(x) {}
  HALFWAVE_INLINE Vec(float x) : v(_mm256_set1_ps(x)) {}

  static HALFWAVE_INLINE __m256i first(size_t n) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(first_lanes + 8 - n));
  }
  static HALFWAVE_INLINE Mask mask_of(uint64_t bits) {
    const __m256i own = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    const __m256i set = _mm256_and_si256(_mm256_set1_epi32(int(bits)), own);
    return {_mm256_castsi256_ps(_mm256_cmpeq_epi32(set, own))};
  }
  static HALFWAVE_INLINE Vec load(const float* p) { return _mm256_loadu_ps(p); }
  static HALFWAVE_INLINE Vec load(const float* p, size_t n) { return _mm256_maskload_ps(p, first(n)); }
  HALFWAVE_INLINE Vec in_register() const {
    Vec r = *this;
    HALFWAVE_KEEP("+x", r.v);
    return r;
  }
  HALFWAVE_INLINE void store(float* p) const { _mm256_storeu_ps(p, v); }
  HALFWAVE_INLINE void stream(float* p) const { _mm256_stream_ps(p, v); }
  HALFWAVE_INLINE void store(float* p, size_t n) const { _mm256_maskstore_ps(p, first(n), v); }

  friend HALFWAVE_INLINE Vec operator+(Vec a, Vec b) { return _mm256_add_ps(a.v, b.v); }
  friend HALFWAVE_INLINE Vec operator-(Vec a, Vec b) { return _mm256_sub_ps(a.v, b.v); }
  friend HALFWAVE_INLINE Vec operator*(Vec a, Vec b) { return _mm256_mul_ps(a.v, b.v); }
  friend HALFWAVE_INLINE Vec operator/(Vec a, Vec b) { return _mm256_div_ps(a.v, b.v); }
  friend HALFWAVE_INLINE Vec operator-(Vec a) { return _mm256_xor_ps(a.v, _mm256_set1_ps(-0.0f)); }
  friend HALFWAVE_INLINE Mask operator<(Vec a, Vec b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_LT_OQ)}; }
  friend HALFWAVE_INLINE Mask operator<=(Vec a, Vec b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_LE_OQ)}; }
  friend HALFWAVE_INLINE Mask operator>(Vec a, Vec b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_GT_OQ)}; }
  friend HALFWAVE_INLINE Mask operator>=(Vec a, Vec b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_GE_OQ)}; }
  friend HALFWAVE_INLINE Mask operator==(Vec a, Vec b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_EQ_OQ)}; }
  friend HALFWAVE_INLINE Mask unordered(Vec a, Vec b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_UNORD_Q)}; }
  friend HALFWAVE_INLINE Vec min(Vec a, Vec b) { return _mm256_min_ps(a.v, b.v); }
  friend HALFWAVE_INLINE Vec max(Vec a, Vec b) { return _mm256_max_ps(a.v, b.v); }
  friend HALFWAVE_INLINE Vec abs(Vec a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a.v); }
  friend HALFWAVE_INLINE Vec sqrt(Vec a) { return _mm256_sqrt_ps(a.v); }
  friend HALFWAVE_INLINE Vec copysign(Vec magnitude, Vec sign) {
    const __m256 sign_bit = _mm256_set1_ps(-0.0f);
    return _mm256_or_ps(_mm256_andnot_ps(sign_bit, magnitude.v), _mm256_and_ps(sign_bit, sign.v));
  }
  friend HALFWAVE_INLINE Vec times_sign(Vec a, Vec sign) {
    return _mm256_xor_ps(a.v, _mm256_and_ps(_mm256_set1_ps(-0.0f), sign.v));
  }
  friend HALFWAVE_INLINE Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a.v, b.v, c.v); }
  friend HALFWAVE_INLINE Vec fms(Vec a, Vec b, Vec c) { return _mm256_fmsub_ps(a.v, b.v, c.v); }
  friend HALFWAVE_INLINE Vec fnma(Vec a, Vec b, Vec c) { return _mm256_fnmadd_ps(a.v, b.v, c.v); }
  friend HALFWAVE_INLINE Vec select(Mask m, Vec a, Vec b) { return _mm256_blendv_ps(b.v, a.v, m.v); }
  friend HALFWAVE_INLINE Vec or_zero(Mask m, Vec a) { return _mm256_and_ps(m.v, a.v); }

  friend HALFWAVE_INLINE Vec bits_difference(Vec a, Vec b) {
    return _mm256_castsi256_ps(_mm256_sub_epi32(_mm256_castps_si256(a.v), _mm256_castps_si256(b.v)));
  }
  friend HALFWAVE_INLINE Vec half_octave(Vec t) {
    return _mm256_castsi256_ps(_mm256_srli_epi32(_mm256_castps_si256(t.v), 22));
  }
  friend HALFWAVE_INLINE Vec exponent_from_low_bits(Vec t) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(t.v), 23));
  }
  friend HALFWAVE_INLINE Vec lookup8(const float* table, Vec t) {
    // vpermps reads the lowest three bits of the index only.
    return _mm256_permutevar8x32_ps(_mm256_loadu_ps(table), _mm256_castps_si256(t.v));
  }
  friend HALFWAVE_INLINE Vec lookup16(const float* table, Vec t) {
    const __m256i fourth_bit = _mm256_slli_epi32(_mm256_castps_si256(t.v), 28);
    return _mm256_blendv_ps(lookup8(table, t).v, lookup8(table + 8, t).v, _mm256_castsi256_ps(fourth_bit));
  }
};

struct MaskDouble {
  __m256d v;
  friend HALFWAVE_INLINE MaskDouble operator&(MaskDouble a, MaskDouble b) { return {_mm256_and_pd(a.v, b.v)}; }
  friend HALFWAVE_INLINE MaskDouble operator|(MaskDouble a, MaskDouble b) { return {_mm256_or_pd(a.v, b.v)}; }
  friend HALFWAVE_INLINE bool any(MaskDouble m) { return _mm256_movemask_pd(m.v) != 0; }
  friend HALFWAVE_INLINE uint64_t lane_bits(MaskDouble m) { return uint64_t(_mm256_movemask_pd(m.v)); }
};

template <>
struct Vec<double> {
  using Scalar = double;
  using Mask = MaskDouble;
  static constexpr size_t lanes = 4;
  static constexpr bool has_many_registers = false;
  __m256d v;

  Vec() = default;
  HALFWAVE_INLINE Vec(__m256d x) : v(x) {}
  HALFWAVE_INLINE Vec(double x) : v(_mm256_set1_pd(x)) {}

  static HALFWAVE_INLINE __m256i first(size_t n) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(first_lanes + 8 - 2 * n));
  }
  static HALFWAVE_INLINE Mask mask_of(uint64_t bits) {
    const __m256i own = _mm256_setr_epi64x(1, 2, 4, 8);
    const __m256i set = _mm256_and_si256(_mm256_set1_epi64x(int64_t(bits)), own);
    return {_mm256_castsi256_pd(_mm256_cmpeq_epi64(set, own))};
  }
  static HALFWAVE_INLINE Vec load(const double* p) { return _mm256_loadu_pd(p); }
  static HALFWAVE_INLINE Vec load(const double* p, size_t n) { return _mm256_maskload_pd(p, first(n)); }
  HALFWAVE_INLINE Vec in_register() const {
    Vec r = *this;
    HALFWAVE_KEEP("+x", r.v);
    return r;
  }
  HALFWAVE_INLINE void store(double* p) const { _mm256_storeu_pd(p, v); }
  HALFWAVE_INLINE void stream(double* p) const { _mm256_stream_pd(p, v); }
  HALFWAVE_INLINE void store(double* p, size_t n) const { _mm256_maskstore_pd(p, first(n), v); }

  friend HALFWAVE_INLINE Vec operator+(Vec a, Vec b) { return _mm256_add_pd(a.v, b.v); }
  friend HALFWAVE_INLINE Vec operator-(Vec a, Vec b) { return _mm256_sub_pd(a.v, b.v); }
  friend HALFWAVE_INLINE Vec operator*(Vec a, Vec b) { return _mm256_mul_pd(a.v, b.v); }
  friend HALFWAVE_INLINE Vec operator/(Vec a, Vec b) { return _mm256_div_pd(a.v, b.v); }
  friend HALFWAVE_INLINE Vec operator-(Vec a) { return _mm256_xor_pd(a.v, _mm256_set1_pd(-0.0)); }
  friend HALFWAVE_INLINE Mask operator<(Vec a, Vec b) { return {_mm256_cmp_pd(a.v, b.v, _CMP_LT_OQ)}; }
  friend HALFWAVE_INLINE Mask operator<=(Vec a, Vec b) { return {_mm256_cmp_pd(a.v, b.v, _CMP_LE_OQ)}; }
  friend HALFWAVE_INLINE Mask operator>(Vec a, Vec b) { return {_mm256_cmp_pd(a.v, b.v, _CMP_GT_OQ)}; }
  friend HALFWAVE_INLINE Mask operator>=(Vec a, Vec b) { return {_mm256_cmp_pd(a.v, b.v, _CMP_GE_OQ)}; }
  friend HALFWAVE_INLINE Mask operator==(Vec a, Vec b) { return {_mm256_cmp_pd(a.v, b.v, _CMP_EQ_OQ)}; }
  friend HALFWAVE_INLINE Mask unordered(Vec a, Vec b) { return {_mm256_cmp_pd(a.v, b.v, _CMP_UNORD_Q)}; }
  friend HALFWAVE_INLINE Vec min(Vec a, Vec b) { return _mm256_min_pd(a.v, b.v); }
  friend HALFWAVE_INLINE Vec max(Vec a, Vec b) { return _mm256_max_pd(a.v, b.v); }
  friend HALFWAVE_INLINE Vec abs(Vec a) { return _mm256_andnot_pd(_mm256_set1_pd(-0.0), a.v); }
  friend HALFWAVE_INLINE Vec sqrt(Vec a) { return _mm256_sqrt_pd(a.v); }
  friend HALFWAVE_INLINE Vec copysign(Vec magnitude, Vec sign) {
    const __m256d sign_bit = _mm256_set1_pd(-0.0);
    return _mm256_or_pd(_mm256_andnot_pd(sign_bit, magnitude.v), _mm256_and_pd(sign_bit, sign.v));
  }
  friend HALFWAVE_INLINE Vec times_sign(Vec a, Vec sign) {
    return _mm256_xor_pd(a.v, _mm256_and_pd(_mm256_set1_pd(-0.0), sign.v));
  }
  friend HALFWAVE_INLINE Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_pd(a.v, b.v, c.v); }
  friend HALFWAVE_INLINE Vec fms(Vec a, Vec b, Vec c) { return _mm256_fmsub_pd(a.v, b.v, c.v); }
  friend HALFWAVE_INLINE Vec fnma(Vec a, Vec b, Vec c) { return _mm256_fnmadd_pd(a.v, b.v, c.v); }
  friend HALFWAVE_INLINE Vec select(Mask m, Vec a, Vec b) { return _mm256_blendv_pd(b.v, a.v, m.v); }
  friend HALFWAVE_INLINE Vec or_zero(Mask m, Vec a) { return _mm256_and_pd(m.v, a.v); }

  friend HALFWAVE_INLINE Vec bits_difference(Vec a, Vec b) {
    return _mm256_castsi256_pd(_mm256_sub_epi64(_mm256_castpd_si256(a.v), _mm256_castpd_si256(b.v)));
  }
  friend HALFWAVE_INLINE Vec half_octave(Vec t) {
    return _mm256_castsi256_pd(_mm256_srli_epi64(_mm256_castpd_si256(t.v), 51));
  }
  friend HALFWAVE_INLINE Vec exponent_from_low_bits(Vec t) {
    return _mm256_castsi256_pd(_mm256_slli_epi64(_mm256_castpd_si256(t.v), 52));
  }
  friend HALFWAVE_INLINE Vec lookup8(const float* table, Vec t) {
    // Look up in the even float lanes, gather those into four floats, widen.
    const __m256 found = _mm256_permutevar8x32_ps(_mm256_loadu_ps(table), _mm256_castpd_si256(t.v));
    const __m256 packed = _mm256_permutevar8x32_ps(found, _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6));
    return _mm256_cvtps_pd(_mm256_castps256_ps128(packed));
  }
};

HALFWAVE_INLINE void widen(Vec<float> a, Vec<double>& low, Vec<double>& high) {
  low = _mm256_cvtps_pd(_mm256_castps256_ps128(a.v));
  high = _mm256_cvtps_pd(_mm256_extractf128_ps(a.v, 1));
}
HALFWAVE_INLINE Vec<float> narrow(Vec<double> low, Vec<double> high) {
  return _mm256_set_m128(_mm256_cvtpd_ps(high.v), _mm256_cvtpd_ps(low.v));
}

HALFWAVE_INLINE __m256i rounded_to_bfloat(Vec<float> a) {
  const __m256i bits = _mm256_castps_si256(a.v);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  return _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
}
HALFWAVE_INLINE void load_bfloats(const uint16_t* p, Vec<float>& even, Vec<float>& odd) {
  const __m256i both = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  even = _mm256_castsi256_ps(_mm256_slli_epi32(both, 16));
  odd = _mm256_castsi256_ps(_mm256_and_si256(both, _mm256_set1_epi32(int(0xffff0000u))));
}
HALFWAVE_INLINE void store_high_halves(uint16_t* p, __m256i even, __m256i odd) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_blend_epi16(_mm256_srli_epi32(even, 16), odd, 0xaa));
}
HALFWAVE_INLINE void store_bfloats(uint16_t* p, Vec<float> even, Vec<float> odd) {
  store_high_halves(p, rounded_to_bfloat(even), rounded_to_bfloat(odd));
}
HALFWAVE_INLINE void keep_bfloats(uint16_t* p, Vec<float> even, Vec<float> odd) {
  store_high_halves(p, _mm256_castps_si256(even.v), _mm256_castps_si256(odd.v));
}
HALFWAVE_INLINE void store_bfloats_without_ties(uint16_t* p, Vec<float> even, Vec<float> odd, bool away) {
  const __m256i half = _mm256_set1_epi32(0x7fff + away);
  store_high_halves(p, _mm256_add_epi32(_mm256_castps_si256(even.v), half),
                    _mm256_add_epi32(_mm256_castps_si256(odd.v), half));
}

HALFWAVE_INLINE __m256i ties_up(Vec<float> a) {
  const __m256i bits = _mm256_castps_si256(a.v);
  return _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x8000)), _mm256_srai_epi32(bits, 31));
}
HALFWAVE_INLINE void store_bfloats_ties_up(uint16_t* p, Vec<float> even, Vec<float> odd) {
  store_high_halves(p, ties_up(even), ties_up(odd));
}

constexpr int midpoint_stride = 2;
template <int dropped>
HALFWAVE_INLINE uint32_t near_midpoints(Vec<float> a, Vec<float> b, int margin) {
  constexpr int above = 16 - dropped;
  const __m256i b_low = _mm256_slli_epi32(_mm256_castps_si256(b.v), 16);
  const __m256i low = _mm256_slli_epi16(_mm256_blend_epi16(_mm256_castps_si256(a.v), b_low, 0xaa), above);
  const __m256i shifted = margin == 0 ? low : _mm256_add_epi16(low, _mm256_set1_epi16(short(margin << above)));
  const __m256i beyond = _mm256_set1_epi16(short(INT16_MIN + (2 * margin << above) + 1));
  return uint32_t(_mm256_movemask_epi8(_mm256_cmpgt_epi16(beyond, shifted))) & 0x55555555u;
}

HALFWAVE_INLINE Vec<float> load_bfloat(const uint16_t* p) {
  const __m128i narrow = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(narrow), 16));
}
HALFWAVE_INLINE void store_bfloat(uint16_t* p, Vec<float> a) {
  const __m256i wide = _mm256_srli_epi32(rounded_to_bfloat(a), 16);
  const __m128i narrow = _mm_packus_epi32(_mm256_castsi256_si128(wide), _mm256_extracti128_si256(wide, 1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), narrow);
}
// Doubled, so that the sign drops out.
struct Magnitudes {
  __m256i v;
  static HALFWAVE_INLINE Magnitudes zero() { return {_mm256_setzero_si256()}; }
  static HALFWAVE_INLINE Magnitudes load(const uint16_t* p) {
    const __m256i words = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return {_mm256_add_epi16(words, words)};
  }
  friend HALFWAVE_INLINE Magnitudes max(Magnitudes a, Magnitudes b) { return {_mm256_max_epu16(a.v, b.v)}; }
  friend HALFWAVE_INLINE bool any_above(Magnitudes a, uint16_t limit) {
    const __m256i excess = _mm256_subs_epu16(a.v, _mm256_set1_epi16(short(2 * limit)));
    return _mm256_testz_si256(excess, excess) == 0;
  }
};

HALFWAVE_INLINE Vec<float> with_last_bit_of(Vec<float> a, Vec<float> from) {
  const __m256i last = _mm256_and_si256(_mm256_castps_si256(from.v), _mm256_set1_epi32(1));
  return _mm256_or_ps(a.v, _mm256_castsi256_ps(last));
}
HALFWAVE_INLINE Vec<float> load_half(const uint16_t* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
HALFWAVE_INLINE void store_half(uint16_t* p, Vec<float> a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT));
}

}  // namespace
}  // namespace halfwave
