// One lane, plain C++: the reference that every other instruction set reproduces bit for bit.
#pragma once

namespace halfwave {
namespace {

HALFWAVE_INLINE float fused(float a, float b, float c) { return ::fmaf(a, b, c); }
HALFWAVE_INLINE double fused(double a, double b, double c) { return ::fma(a, b, c); }
HALFWAVE_INLINE float root(float a) { return ::sqrtf(a); }
HALFWAVE_INLINE double root(double a) { return ::sqrt(a); }

template <class T>
struct BitsOf;
template <>
struct BitsOf<float> {
  using type = uint32_t;
};
template <>
struct BitsOf<double> {
  using type = uint64_t;
};

template <class T>
struct Vec {
  using Scalar = T;
  using Mask = bool;
  using Bits = typename BitsOf<T>::type;
  static constexpr size_t lanes = 1;
  static constexpr bool has_many_registers = false;
  T v;

  Vec() = default;
  HALFWAVE_INLINE Vec(T x) : v(x) {}

  // The mask of which bit j tells lane j; `lane_bits` is its inverse.
  static HALFWAVE_INLINE Mask mask_of(uint64_t bits) { return (bits & 1) != 0; }
  static HALFWAVE_INLINE Vec load(const T* p) {
    T x;
    memcpy(&x, p, sizeof x);
    return x;
  }
  static HALFWAVE_INLINE Vec load(const T* p, size_t) { return load(p); }
  HALFWAVE_INLINE Vec in_register() const { return *this; }
  HALFWAVE_INLINE void store(T* p) const { memcpy(p, &v, sizeof v); }
  HALFWAVE_INLINE void stream(T* p) const { store(p); }
  HALFWAVE_INLINE void store(T* p, size_t) const { store(p); }

  static HALFWAVE_INLINE Bits bits(Vec a) {
    Bits b;
    memcpy(&b, &a.v, sizeof b);
    return b;
  }
  static HALFWAVE_INLINE Vec from_bits(Bits b) {
    T x;
    memcpy(&x, &b, sizeof x);
    return x;
  }
  static constexpr Bits sign_bit = Bits(1) << (8 * sizeof(T) - 1);

  friend HALFWAVE_INLINE Vec operator+(Vec a, Vec b) { return a.v + b.v; }
  friend HALFWAVE_INLINE Vec operator-(Vec a, Vec b) { return a.v - b.v; }
  friend HALFWAVE_INLINE Vec operator*(Vec a, Vec b) { return a.v * b.v; }
  friend HALFWAVE_INLINE Vec operator/(Vec a, Vec b) { return a.v / b.v; }
  friend HALFWAVE_INLINE Vec operator-(Vec a) { return from_bits(bits(a) ^ sign_bit); }
  friend HALFWAVE_INLINE Mask operator<(Vec a, Vec b) { return a.v < b.v; }
  friend HALFWAVE_INLINE Mask operator<=(Vec a, Vec b) { return a.v <= b.v; }
  friend HALFWAVE_INLINE Mask operator>(Vec a, Vec b) { return a.v > b.v; }
  friend HALFWAVE_INLINE Mask operator>=(Vec a, Vec b) { return a.v >= b.v; }
  friend HALFWAVE_INLINE Mask operator==(Vec a, Vec b) { return a.v == b.v; }
  friend HALFWAVE_INLINE Mask unordered(Vec a, Vec b) { return a.v != a.v || b.v != b.v; }
  friend HALFWAVE_INLINE Vec min(Vec a, Vec b) { return a.v < b.v ? a : b; }
  friend HALFWAVE_INLINE Vec max(Vec a, Vec b) { return a.v > b.v ? a : b; }
  friend HALFWAVE_INLINE Vec abs(Vec a) { return from_bits(bits(a) & ~sign_bit); }
  friend HALFWAVE_INLINE Vec sqrt(Vec a) { return root(a.v); }
  friend HALFWAVE_INLINE Vec copysign(Vec magnitude, Vec sign) {
    return from_bits((bits(magnitude) & ~sign_bit) | (bits(sign) & sign_bit));
  }
  friend HALFWAVE_INLINE Vec times_sign(Vec a, Vec sign) { return from_bits(bits(a) ^ (bits(sign) & sign_bit)); }
  friend HALFWAVE_INLINE Vec fma(Vec a, Vec b, Vec c) { return fused(a.v, b.v, c.v); }    //  a*b + c
  friend HALFWAVE_INLINE Vec fms(Vec a, Vec b, Vec c) { return fused(a.v, b.v, -c.v); }   //  a*b - c
  friend HALFWAVE_INLINE Vec fnma(Vec a, Vec b, Vec c) { return fused(-a.v, b.v, c.v); }  // -a*b + c
  friend HALFWAVE_INLINE Vec select(Mask m, Vec a, Vec b) { return m ? a : b; }

  // The lowest bits of t's significand, moved into the exponent field: 2^n for a t that carries n + bias there.
  friend HALFWAVE_INLINE Vec exponent_from_low_bits(Vec t) { return from_bits(bits(t) << (sizeof(T) == 4 ? 23 : 52)); }
  // The number whose bits, as an integer, are those of a minus those of b.
  friend HALFWAVE_INLINE Vec bits_difference(Vec a, Vec b) { return from_bits(bits(a) - bits(b)); }
  // Counts the half octaves of a positive t in the lowest bits: 2 and 3 give 0 and 1, 4 and 6 give 2 and 3, 8 and 12 …
  friend HALFWAVE_INLINE Vec half_octave(Vec t) { return from_bits(bits(t) >> (sizeof(T) == 4 ? 22 : 51)); }
  // table[i] for the i in the lowest three bits of t's significand; the entries are exact in float.
  friend HALFWAVE_INLINE Vec lookup8(const float* table, Vec t) { return T(table[bits(t) & 7]); }
  // The same for the lowest four bits, of a float.
  friend HALFWAVE_INLINE Vec lookup16(const float* table, Vec t) { return T(table[bits(t) & 15]); }
};

HALFWAVE_INLINE bool any(bool m) { return m; }
HALFWAVE_INLINE uint64_t lane_bits(bool m) { return m; }

// A vector of floats as two vectors of doubles (the second one empty where a single lane leaves nothing for it).
HALFWAVE_INLINE void widen(Vec<float> a, Vec<double>& low, Vec<double>& high) {
  low = double(a.v);
  high = 0.0;
}
HALFWAVE_INLINE Vec<float> narrow(Vec<double> low, Vec<double>) { return float(low.v); }

// 16-bit floats as their bit patterns, rounded to nearest even, subnormals kept.
HALFWAVE_INLINE float float_from_half(uint16_t h) {
  const uint32_t sign = uint32_t(h & 0x8000) << 16;
  const uint32_t magnitude = h & 0x7fff;
  if (magnitude >= 0x7c00) return Vec<float>::from_bits(sign | 0x7f800000 | (magnitude << 13)).v;
  // Read as a float, the shifted pattern is the value times 2^-112; subnormals come out right as well.
  const float value = Vec<float>::from_bits(magnitude << 13).v * 0x1p112f;
  return Vec<float>::from_bits(sign | Vec<float>::bits(value)).v;
}
HALFWAVE_INLINE uint16_t half_from_float(float f) {
  const uint32_t bits = Vec<float>::bits(f);
  const uint32_t sign = (bits >> 16) & 0x8000;
  const uint32_t magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return uint16_t(sign | 0x7e00);
  if (magnitude >= 0x47800000) return uint16_t(sign | 0x7c00);
  if (magnitude < 0x38800000) {
    // Adding 2^-1 leaves the multiple of 2^-24 in the low bits, rounded to nearest even by the addition itself.
    const float shifted = Vec<float>::from_bits(magnitude).v + 0.5f;
    return uint16_t(sign | (Vec<float>::bits(shifted) - 0x3f000000));
  }
  const uint32_t rounded = magnitude + 0xfff + ((magnitude >> 13) & 1);
  return uint16_t(sign | ((rounded - 0x38000000) >> 13));
}

// Two vectors of bfloat16, which lie in memory in any order that loads and stores agree on. A NaN has to end in sixteen
// zeros, as one has that comes from a bfloat16, or from an operation on other numbers.
HALFWAVE_INLINE void load_bfloats(const uint16_t* p, Vec<float>& even, Vec<float>& odd) {
  uint16_t both[2];
  memcpy(both, p, sizeof both);
  even = Vec<float>::from_bits(uint32_t(both[0]) << 16);
  odd = Vec<float>::from_bits(uint32_t(both[1]) << 16);
}
HALFWAVE_INLINE uint16_t rounded_to_bfloat(Vec<float> a) {
  const uint32_t bits = Vec<float>::bits(a);
  return uint16_t((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}
HALFWAVE_INLINE void store_bfloats(uint16_t* p, Vec<float> even, Vec<float> odd) {
  const uint16_t both[2] = {rounded_to_bfloat(even), rounded_to_bfloat(odd)};
  memcpy(p, both, sizeof both);
}
// The same where nothing is rounded.
HALFWAVE_INLINE void keep_bfloats(uint16_t* p, Vec<float> even, Vec<float> odd) {
  const uint16_t both[2] = {uint16_t(Vec<float>::bits(even) >> 16), uint16_t(Vec<float>::bits(odd) >> 16)};
  memcpy(p, both, sizeof both);
}
// The same with what is halfway between two others moved away from zero, or towards it.
HALFWAVE_INLINE void store_bfloats_without_ties(uint16_t* p, Vec<float> even, Vec<float> odd, bool away) {
  const auto rounded = [away](uint32_t bits) { return uint16_t((bits + 0x7fff + away) >> 16); };
  const uint16_t both[2] = {rounded(Vec<float>::bits(even)), rounded(Vec<float>::bits(odd))};
  memcpy(p, both, sizeof both);
}

HALFWAVE_INLINE void store_bfloats_ties_up(uint16_t* p, Vec<float> even, Vec<float> odd) {
  const auto rounded = [](uint32_t bits) { return uint16_t((bits + 0x8000 - (bits >> 31)) >> 16); };
  const uint16_t both[2] = {rounded(Vec<float>::bits(even)), rounded(Vec<float>::bits(odd))};
  memcpy(p, both, sizeof both);
}

// Which numbers of two vectors are at most `margin` units in the last place from a midpoint between two of a significand
// `dropped` bits shorter: those whose lowest bits, moved to the top as a signed number, lie that little above the least of
// all. Element j of the one and of the other vector has bit 2 * j and bit 2 * j + 1, each times midpoint_stride: then both
// vectors' lowest bits make one vector of 16-bit numbers.
constexpr int midpoint_stride = 1;
template <int dropped>
HALFWAVE_INLINE uint32_t near_midpoints(Vec<float> a, Vec<float> b, int margin) {
  const auto near = [margin](Vec<float> v) {
    return int32_t((Vec<float>::bits(v) + uint32_t(margin)) << (32 - dropped)) <=
           INT32_MIN + (2 * margin << (32 - dropped));
  };
  return uint32_t(near(a)) | uint32_t(near(b)) << 1;
}

// One vector in the order of memory.
HALFWAVE_INLINE Vec<float> load_bfloat(const uint16_t* p) {
  uint16_t b;
  memcpy(&b, p, sizeof b);
  return Vec<float>::from_bits(uint32_t(b) << 16);
}
HALFWAVE_INLINE void store_bfloat(uint16_t* p, Vec<float> a) {
  const uint16_t b = rounded_to_bfloat(a);
  memcpy(p, &b, sizeof b);
}
// The bits of two vectors of 16-bit floats but their signs.
struct Magnitudes {
  uint16_t v;
  static HALFWAVE_INLINE Magnitudes zero() { return {0}; }
  static HALFWAVE_INLINE Magnitudes load(const uint16_t* p) {
    uint16_t both[2];
    memcpy(both, p, sizeof both);
    const uint16_t even = both[0] & 0x7fff, odd = both[1] & 0x7fff;
    return {even > odd ? even : odd};
  }
  friend HALFWAVE_INLINE Magnitudes max(Magnitudes a, Magnitudes b) { return a.v > b.v ? a : b; }
  friend HALFWAVE_INLINE bool any_above(Magnitudes a, uint16_t limit) { return a.v > limit; }
};

// a with its last bit set where that of `from` is.
HALFWAVE_INLINE Vec<float> with_last_bit_of(Vec<float> a, Vec<float> from) {
  return Vec<float>::from_bits(Vec<float>::bits(a) | (Vec<float>::bits(from) & 1));
}

HALFWAVE_INLINE Vec<float> load_half(const uint16_t* p) {
  uint16_t h;
  memcpy(&h, p, sizeof h);
  return float_from_half(h);
}
HALFWAVE_INLINE void store_half(uint16_t* p, Vec<float> a) {
  const uint16_t h = half_from_float(a.v);
  memcpy(p, &h, sizeof h);
}

}  // namespace
}  // namespace halfwave
