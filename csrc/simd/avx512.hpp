// AVX-512 F, BW, DQ, VL: 16 floats or 8 doubles.
#pragma once

#include <immintrin.h>

namespace halfwave {
namespace {

template <>
struct Vec<float> {
  using Scalar = float;
  using Mask = __mmask16;
  static constexpr size_t lanes = 16;
  static constexpr bool has_many_registers = true;
  __m512 v;

  Vec() = default;
  HALFWAVE_INLINE Vec(__m512 x) : v(x) {}
  HALFWAVE_INLINE Vec(float x) : v(_mm512_set1_ps(x)) {}

  static HALFWAVE_INLINE Mask mask_of(uint64_t bits) { return Mask(bits); }
  static HALFWAVE_INLINE Mask first(size_t n) { return Mask((1u << n) - 1); }
  static HALFWAVE_INLINE Vec load(const float* p) { return _mm512_loadu_ps(p); }
  static HALFWAVE_INLINE Vec load(const float* p, size_t n) { return _mm512_maskz_loadu_ps(first(n), p); }
  HALFWAVE_INLINE Vec in_register() const {
    Vec r = *this;
    HALFWAVE_KEEP("+v", r.v);
    return r;
  }
  HALFWAVE_INLINE void store(float* p) const { _mm512_storeu_ps(p, v); }
  HALFWAVE_INLINE void stream(float* p) const { _mm512_stream_ps(p, v); }
  HALFWAVE_INLINE void store(float* p, size_t n) const { _mm512_mask_storeu_ps(p, first(n), v); }

  friend HALFWAVE_INLINE Vec operator+(Vec a, Vec b) { return _mm512_add_ps(a.v, b.v); }
  friend HALFWAVE_INLINE Vec operator-(Vec a, Vec b) { return _mm512_sub_ps(a.v, b.v); }
  friend HALFWAVE_INLINE Vec operator*(Vec a, Vec b) { return _mm512_mul_ps(a.v, b.v); }
  friend HALFWAVE_INLINE Vec operator/(Vec a, Vec b) { return _mm512_div_ps(a.v, b.v); }
  friend HALFWAVE_INLINE Vec operator-(Vec a) { return _mm512_xor_ps(a.v, _mm512_set1_ps(-0.0f)); }
  friend HALFWAVE_INLINE Mask operator<(Vec a, Vec b) { return _mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ); }
  friend HALFWAVE_INLINE Mask operator<=(Vec a, Vec b) { return _mm512_cmp_ps_mask(a.v, b.v, _CMP_LE_OQ); }
  friend HALFWAVE_INLINE Mask operator>(Vec a, Vec b) { return _mm512_cmp_ps_mask(a.v, b.v, _CMP_GT_OQ); }
  friend HALFWAVE_INLINE Mask operator>=(Vec a, Vec b) { return _mm512_cmp_ps_mask(a.v, b.v, _CMP_GE_OQ); }
  friend HALFWAVE_INLINE Mask operator==(Vec a, Vec b) { return _mm512_cmp_ps_mask(a.v, b.v, _CMP_EQ_OQ); }
  friend HALFWAVE_INLINE Mask unordered(Vec a, Vec b) { return _mm512_cmp_ps_mask(a.v, b.v, _CMP_UNORD_Q); }
  friend HALFWAVE_INLINE Vec min(Vec a, Vec b) { return _mm512_min_ps(a.v, b.v); }
  friend HALFWAVE_INLINE Vec max(Vec a, Vec b) { return _mm512_max_ps(a.v, b.v); }
  friend HALFWAVE_INLINE Vec abs(Vec a) { return _mm512_andnot_ps(_mm512_set1_ps(-0.0f), a.v); }
  friend HALFWAVE_INLINE Vec sqrt(Vec a) { return _mm512_sqrt_ps(a.v); }
  friend HALFWAVE_INLINE Vec copysign(Vec magnitude, Vec sign) {
    constexpr int sign_from_b = 0xd8;  // ternary truth table of  c ? b : a
    return _mm512_castsi512_ps(_mm512_ternarylogic_epi32(_mm512_castps_si512(magnitude.v), _mm512_castps_si512(sign.v),
                                                         _mm512_set1_epi32(int(0x80000000u)), sign_from_b));
  }
  friend HALFWAVE_INLINE Vec times_sign(Vec a, Vec sign) {
    constexpr int flip = 0x78;  // ternary truth table of  a ^ (b & c)
    return _mm512_castsi512_ps(_mm512_ternarylogic_epi32(_mm512_castps_si512(a.v), _mm512_castps_si512(sign.v),
                                                         _mm512_set1_epi32(int(0x80000000u)), flip));
  }
  friend HALFWAVE_INLINE Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a.v, b.v, c.v); }
  friend HALFWAVE_INLINE Vec fms(Vec a, Vec b, Vec c) { return _mm512_fmsub_ps(a.v, b.v, c.v); }
  friend HALFWAVE_INLINE Vec fnma(Vec a, Vec b, Vec c) { return _mm512_fnmadd_ps(a.v, b.v, c.v); }
  friend HALFWAVE_INLINE Vec select(Mask m, Vec a, Vec b) { return _mm512_mask_blend_ps(m, b.v, a.v); }

  friend HALFWAVE_INLINE Vec bits_difference(Vec a, Vec b) {
    return _mm512_castsi512_ps(_mm512_sub_epi32(_mm512_castps_si512(a.v), _mm512_castps_si512(b.v)));
  }
  friend HALFWAVE_INLINE Vec half_octave(Vec t) {
    return _mm512_castsi512_ps(_mm512_srli_epi32(_mm512_castps_si512(t.v), 22));
  }
  friend HALFWAVE_INLINE Vec exponent_from_low_bits(Vec t) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(t.v), 23));
  }
  friend HALFWAVE_INLINE Vec lookup8(const float* table, Vec t) {
    // vpermps reads four bits of the index; the table stands there twice, so that the fourth does not matter.
    return _mm512_permutexvar_ps(_mm512_castps_si512(t.v), _mm512_broadcast_f32x8(_mm256_loadu_ps(table)));
  }
  friend HALFWAVE_INLINE Vec lookup16(const float* table, Vec t) {
    return _mm512_permutexvar_ps(_mm512_castps_si512(t.v), _mm512_loadu_ps(table));
  }
};

template <>
struct Vec<double> {
  using Scalar = double;
  using Mask = __mmask8;
  static constexpr size_t lanes = 8;
  static constexpr bool has_many_registers = true;
  __m512d v;

  Vec() = default;
  HALFWAVE_INLINE Vec(__m512d x) : v(x) {}
  HALFWAVE_INLINE Vec(double x) : v(_mm512_set1_pd(x)) {}

  static HALFWAVE_INLINE Mask mask_of(uint64_t bits) { return Mask(bits); }
  static HALFWAVE_INLINE Mask first(size_t n) { return Mask((1u << n) - 1); }
  static HALFWAVE_INLINE Vec load(const double* p) { return _mm512_loadu_pd(p); }
  static HALFWAVE_INLINE Vec load(const double* p, size_t n) { return _mm512_maskz_loadu_pd(first(n), p); }
  HALFWAVE_INLINE Vec in_register() const {
    Vec r = *this;
    HALFWAVE_KEEP("+v", r.v);
    return r;
  }
  HALFWAVE_INLINE void store(double* p) const { _mm512_storeu_pd(p, v); }
  HALFWAVE_INLINE void stream(double* p) const { _mm512_stream_pd(p, v); }
  HALFWAVE_INLINE void store(double* p, size_t n) const { _mm512_mask_storeu_pd(p, first(n), v); }

  friend HALFWAVE_INLINE Vec operator+(Vec a, Vec b) { return _mm512_add_pd(a.v, b.v); }
  friend HALFWAVE_INLINE Vec operator-(Vec a, Vec b) { return _mm512_sub_pd(a.v, b.v); }
  friend HALFWAVE_INLINE Vec operator*(Vec a, Vec b) { return _mm512_mul_pd(a.v, b.v); }
  friend HALFWAVE_INLINE Vec operator/(Vec a, Vec b) { return _mm512_div_pd(a.v, b.v); }
  friend HALFWAVE_INLINE Vec operator-(Vec a) { return _mm512_xor_pd(a.v, _mm512_set1_pd(-0.0)); }
  friend HALFWAVE_INLINE Mask operator<(Vec a, Vec b) { return _mm512_cmp_pd_mask(a.v, b.v, _CMP_LT_OQ); }
  friend HALFWAVE_INLINE Mask operator<=(Vec a, Vec b) { return _mm512_cmp_pd_mask(a.v, b.v, _CMP_LE_OQ); }
  friend HALFWAVE_INLINE Mask operator>(Vec a, Vec b) { return _mm512_cmp_pd_mask(a.v, b.v, _CMP_GT_OQ); }
  friend HALFWAVE_INLINE Mask operator>=(Vec a, Vec b) { return _mm512_cmp_pd_mask(a.v, b.v, _CMP_GE_OQ); }
  friend HALFWAVE_INLINE Mask operator==(Vec a, Vec b) { return _mm512_cmp_pd_mask(a.v, b.v, _CMP_EQ_OQ); }
  friend HALFWAVE_INLINE Mask unordered(Vec a, Vec b) { return _mm512_cmp_pd_mask(a.v, b.v, _CMP_UNORD_Q); }
  friend HALFWAVE_INLINE Vec min(Vec a, Vec b) { return _mm512_min_pd(a.v, b.v); }
  friend HALFWAVE_INLINE Vec max(Vec a, Vec b) { return _mm512_max_pd(a.v, b.v); }
  friend HALFWAVE_INLINE Vec abs(Vec a) { return _mm512_andnot_pd(_mm512_set1_pd(-0.0), a.v); }
  friend HALFWAVE_INLINE Vec sqrt(Vec a) { return _mm512_sqrt_pd(a.v); }
  friend HALFWAVE_INLINE Vec copysign(Vec magnitude, Vec sign) {
    constexpr int sign_from_b = 0xd8;  // ternary truth table of  c ? b : a
    return _mm512_castsi512_pd(_mm512_ternarylogic_epi64(_mm512_castpd_si512(magnitude.v), _mm512_castpd_si512(sign.v),
                                                         _mm512_set1_epi64(INT64_MIN), sign_from_b));
  }
  friend HALFWAVE_INLINE Vec times_sign(Vec a, Vec sign) {
    constexpr int flip = 0x78;  // ternary truth table of  a ^ (b & c)
    return _mm512_castsi512_pd(_mm512_ternarylogic_epi64(_mm512_castpd_si512(a.v), _mm512_castpd_si512(sign.v),
                                                         _mm512_set1_epi64(INT64_MIN), flip));
  }
  friend HALFWAVE_INLINE Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_pd(a.v, b.v, c.v); }
  friend HALFWAVE_INLINE Vec fms(Vec a, Vec b, Vec c) { return _mm512_fmsub_pd(a.v, b.v, c.v); }
  friend HALFWAVE_INLINE Vec fnma(Vec a, Vec b, Vec c) { return _mm512_fnmadd_pd(a.v, b.v, c.v); }
  friend HALFWAVE_INLINE Vec select(Mask m, Vec a, Vec b) { return _mm512_mask_blend_pd(m, b.v, a.v); }

  friend HALFWAVE_INLINE Vec bits_difference(Vec a, Vec b) {
    return _mm512_castsi512_pd(_mm512_sub_epi64(_mm512_castpd_si512(a.v), _mm512_castpd_si512(b.v)));
  }
  friend HALFWAVE_INLINE Vec half_octave(Vec t) {
    return _mm512_castsi512_pd(_mm512_srli_epi64(_mm512_castpd_si512(t.v), 51));
  }
  friend HALFWAVE_INLINE Vec exponent_from_low_bits(Vec t) {
    return _mm512_castsi512_pd(_mm512_slli_epi64(_mm512_castpd_si512(t.v), 52));
  }
  friend HALFWAVE_INLINE Vec lookup8(const float* table, Vec t) {
    // vpermpd reads the lowest three bits of the index only.
    return _mm512_permutexvar_pd(_mm512_castpd_si512(t.v), _mm512_cvtps_pd(_mm256_loadu_ps(table)));
  }
};

HALFWAVE_INLINE bool any(unsigned m) { return m != 0; }
HALFWAVE_INLINE uint64_t lane_bits(unsigned m) { return m; }

HALFWAVE_INLINE void widen(Vec<float> a, Vec<double>& low, Vec<double>& high) {
  low = _mm512_cvtps_pd(_mm512_castps512_ps256(a.v));
  high = _mm512_cvtps_pd(_mm512_extractf32x8_ps(a.v, 1));
}
HALFWAVE_INLINE Vec<float> narrow(Vec<double> low, Vec<double> high) {
  return _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(low.v)), _mm512_cvtpd_ps(high.v), 1);
}

HALFWAVE_INLINE void load_bfloats(const uint16_t* p, Vec<float>& even, Vec<float>& odd) {
  const __m512i both = _mm512_loadu_si512(p);
  even = _mm512_castsi512_ps(_mm512_slli_epi32(both, 16));
  odd = _mm512_castsi512_ps(_mm512_and_si512(both, _mm512_set1_epi32(int(0xffff0000u))));
}
constexpr __mmask32 odd_words = 0xaaaaaaaau;
HALFWAVE_INLINE __m512i high_halves(__m512i even, __m512i odd) {
  return _mm512_mask_blend_epi16(odd_words, _mm512_srli_epi32(even, 16), odd);
}
// Not by vcvtneps2bf16, which takes subnormal numbers for zeros.
HALFWAVE_INLINE void store_bfloats(uint16_t* p, Vec<float> even, Vec<float> odd) {
  const __m512i a = _mm512_castps_si512(even.v), b = _mm512_castps_si512(odd.v);
  const __m512i high = high_halves(a, b);
  const __m512i low = _mm512_mask_blend_epi16(odd_words, a, _mm512_slli_epi32(b, 16));
  // A half of a unit goes up where the unit is odd: made more than a half by the unit's last bit.
  constexpr int or_and = 0xf8;  // ternary truth table of  a | (b & c)
  const __m512i rest = _mm512_ternarylogic_epi32(low, high, _mm512_set1_epi16(1), or_and);
  const __mmask32 up = _mm512_cmpgt_epu16_mask(rest, _mm512_set1_epi16(short(0x8000)));
  _mm512_storeu_si512(p, _mm512_mask_sub_epi16(high, up, high, _mm512_set1_epi16(-1)));
}
HALFWAVE_INLINE void keep_bfloats(uint16_t* p, Vec<float> even, Vec<float> odd) {
  _mm512_storeu_si512(p, high_halves(_mm512_castps_si512(even.v), _mm512_castps_si512(odd.v)));
}
HALFWAVE_INLINE void store_bfloats_without_ties(uint16_t* p, Vec<float> even, Vec<float> odd, bool away) {
  const __m512i half = _mm512_set1_epi32(0x7fff + away);
  _mm512_storeu_si512(p, high_halves(_mm512_add_epi32(_mm512_castps_si512(even.v), half),
                                     _mm512_add_epi32(_mm512_castps_si512(odd.v), half)));
}

HALFWAVE_INLINE __m512i ties_up(Vec<float> a) {
  const __m512i bits = _mm512_castps_si512(a.v);
  return _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x8000)), _mm512_srai_epi32(bits, 31));
}
HALFWAVE_INLINE void store_bfloats_ties_up(uint16_t* p, Vec<float> even, Vec<float> odd) {
  _mm512_storeu_si512(p, high_halves(ties_up(even), ties_up(odd)));
}

constexpr int midpoint_stride = 1;
template <int dropped>
HALFWAVE_INLINE uint32_t near_midpoints(Vec<float> a, Vec<float> b, int margin) {
  constexpr int above = 16 - dropped;
  const __m512i b_low = _mm512_slli_epi32(_mm512_castps_si512(b.v), 16);
  const __m512i low = _mm512_slli_epi16(_mm512_mask_blend_epi16(odd_words, _mm512_castps_si512(a.v), b_low), above);
  if (margin == 0) return _mm512_cmpeq_epi16_mask(low, _mm512_set1_epi16(INT16_MIN));
  return _mm512_cmple_epi16_mask(_mm512_add_epi16(low, _mm512_set1_epi16(short(margin << above))),
                                 _mm512_set1_epi16(short(INT16_MIN + (2 * margin << above))));
}

HALFWAVE_INLINE Vec<float> load_bfloat(const uint16_t* p) {
  const __m256i narrow = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(narrow), 16));
}
HALFWAVE_INLINE void store_bfloat(uint16_t* p, Vec<float> a) {
  const __m512i bits = _mm512_castps_si512(a.v);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16)));
}

// Doubled, so that the sign drops out.
struct Magnitudes {
  __m512i v;
  static HALFWAVE_INLINE Magnitudes zero() { return {_mm512_setzero_si512()}; }
  static HALFWAVE_INLINE Magnitudes load(const uint16_t* p) {
    const __m512i words = _mm512_loadu_si512(p);
    return {_mm512_add_epi16(words, words)};
  }
  friend HALFWAVE_INLINE Magnitudes max(Magnitudes a, Magnitudes b) { return {_mm512_max_epu16(a.v, b.v)}; }
  friend HALFWAVE_INLINE bool any_above(Magnitudes a, uint16_t limit) {
    return _mm512_cmpgt_epu16_mask(a.v, _mm512_set1_epi16(short(2 * limit))) != 0;
  }
};

HALFWAVE_INLINE Vec<float> with_last_bit_of(Vec<float> a, Vec<float> from) {
  constexpr int or_and = 0xf8;  // ternary truth table of  a | (b & c)
  return _mm512_castsi512_ps(
      _mm512_ternarylogic_epi32(_mm512_castps_si512(a.v), _mm512_castps_si512(from.v), _mm512_set1_epi32(1), or_and));
}
HALFWAVE_INLINE Vec<float> load_half(const uint16_t* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
HALFWAVE_INLINE void store_half(uint16_t* p, Vec<float> a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT));
}

}  // namespace
}  // namespace halfwave
