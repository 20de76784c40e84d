#pragma once

#include "coefficients.hpp"
#include "exp.hpp"
#include "piecewise.hpp"

namespace halfwave {
namespace {

template <class T>
struct LogisticRange;
template <>
struct LogisticRange<float> {
  static constexpr float exponent_offset = 40;
  static constexpr float scale = 0x1p40f;
  static constexpr float largest = 115;  // a * e^-a is 0 beyond, and n + exponent_offset is still normal
};
template <>
struct LogisticRange<double> {
  static constexpr double exponent_offset = 70;
  static constexpr double scale = 0x1p70;
  static constexpr double largest = 753;
};

// The logistic function at -a, for a >= 0, in the form that its relatives share:
//
//   sigmoid(-a) = e^-a / (1 + e^-a) = u / s,   u = c * 2^n,   s = u + c * e^p,   a = p - n * ln2,   c = 2^offset.
//
// Both are scaled by c so that u stays a normal number down to the last subnormal result, which is then rounded by one
// final multiplication by u. q is 1/s as rounded; the exact quotient is q * (1 + correction), where the correction holds
// what the division and the sum s rounded away.
template <class V>
struct LogisticTail {
  V a, u, s, s_low, q, correction;
  V rounded;  // s without s_low, for a quotient below 2 ULP

  explicit HALFWAVE_INLINE LogisticTail(V magnitude) : a(min(V(Range::largest), magnitude)) {
    const V n = scale();
    divide(fma(n, V(K::ln2_low), fma(n, V(K::ln2_high), a)));
  }
  // Of magnitude + low.
  HALFWAVE_INLINE LogisticTail(V magnitude, V low) : LogisticTail(InRange{}, min(V(Range::largest), magnitude), low) {}
  // The same, where the caller has seen to the range.
  struct InRange {};
  HALFWAVE_INLINE LogisticTail(InRange, V magnitude, V low) : a(magnitude) {
    const V n = scale();
    divide(fma(n, V(K::ln2_high), a) + fma(n, V(K::ln2_low), low));
  }

  // The same where speed matters less: in float, the correction holds what the rounding of p loses too.
  struct Precisely {};
  HALFWAVE_INLINE LogisticTail(Precisely, V magnitude, V low) : a(min(V(Range::largest), magnitude)) {
    const V n = scale();
    const V high = fma(n, V(K::ln2_high), a), rest = fma(n, V(K::ln2_low), low), p = high + rest;
    divide(p);
    if constexpr (sizeof(typename V::Scalar) == 4) {
      const V lost = (s - u) * ((high - p) + rest);
      s_low = s_low + lost;
      correction = fnma(lost, q, correction);
    }
  }

  // sigmoid(-a) / u, correctly rounded but for the error of e^p.
  HALFWAVE_INLINE V quotient() const { return fma(q, correction, q); }

  // m * sigmoid(-a). The residual of the division corrects the rounding of the product with it.
  HALFWAVE_INLINE V times(V m) const {
    const V n = m * u, y = n * q;
    return fma(fnma(s_low, y, fnma(s, y, n)), q, y);
  }

 private:
  using K = Reduction<typename V::Scalar>;
  using Range = LogisticRange<typename V::Scalar>;

  HALFWAVE_INLINE V scale() {
    const V shift = V(K::magic + K::exponent_bias + Range::exponent_offset);
    const V t = fnma(a, V(K::log2e), shift);
    u = exponent_from_low_bits(t);
    return t - shift;
  }
  HALFWAVE_INLINE void divide(V p) {
    using T = typename V::Scalar;
    static constexpr auto tail = scaled(Expm1<T>::tail, T(Range::scale), T(1));
    const V c = V(Range::scale);
    const V q1 = fma(polynomial(p, tail.c), p, c);  // c * (e^p - 1) / p
    const V w = u + c;
    s = fma(q1, p, w);
    s_low = fma(q1, p, w - s) + (u - (w - c));
    rounded = fma(q1, p, u) + c;
    q = V(1) / s;
    correction = fnma(s_low, q, fnma(s, q, V(1)));
  }
};

// sigmoid(x): sigmoid(x) + sigmoid(-x) = 1.
template <class V>
HALFWAVE_INLINE V logistic(V x, const LogisticTail<V>& f) {
  return mirrored(x, f.quotient() * f.u);
}
template <class V>
HALFWAVE_INLINE V logistic(V x) {
  return logistic(x, LogisticTail<V>(abs(x)));
}
// The same, in float below 2 ULP and a third faster.
template <class V>
HALFWAVE_INLINE V quick_logistic(V x) {
  const LogisticTail<V> f(abs(x));
  if constexpr (sizeof(typename V::Scalar) == 4)
    return mirrored(x, f.u / f.rounded);
  else
    return logistic(x, f);
}

// sigmoid(-a) = u / s for results of 16 bits, by LogisticTail's formula with two steps fewer. In float it is within 4 ULP. Of
// the floats near to those that are best, the constants of K are such that for no 16-bit x the result and the exact value
// are on different sides of a midpoint between two 16-bit numbers: tools/narrow_logistic.cpp finds them.
template <class K>
struct NarrowTail {
  using V = Vec<float>;
  V a, u, s;

  explicit HALFWAVE_INLINE NarrowTail(V magnitude) : a(min(V(Range::largest), magnitude)) {
    static constexpr auto tail = scaled(K::tail, Range::scale, 1.0f);
    const V shift = V(R::magic + R::exponent_bias + Range::exponent_offset);
    const V t = fnma(a, V(R::log2e), shift);
    const V p = fma(t - shift, V(K::ln2), a);
    u = exponent_from_low_bits(t);
    s = fma(fma(polynomial(p, tail.c), p, V(K::linear * Range::scale)), p, u) + V(K::one * Range::scale);
  }

 private:
  using R = Reduction<float>;
  using Range = LogisticRange<float>;
};

// Its midpoints are exact in float16; in bfloat16 the exact value is nearer to zero.
struct NarrowLogistic {
  static constexpr float ln2 = 0x1.62e42ep-1f, linear = 0x1.000008p+0f, one = 0x1.fffff6p-1f;
  static constexpr float tail[] = {0x1.000146p-1f, 0x1.555146p-3f, 0x1.55b568p-5f, 0x1.10b2fcp-7f};
};
HALFWAVE_INLINE Vec<float> narrow_logistic(Vec<float> x) {
  const NarrowTail<NarrowLogistic> f(abs(x));
  return mirrored(x, f.u / f.s);
}

// Its derivative, likewise.
struct NarrowLogisticSlope {
  static constexpr float ln2 = 0x1.62e432p-1f, linear = 0x1.00000ep+0f, one = 0x1.000004p+0f;
  static constexpr float tail[] = {0x1.000092p-1f, 0x1.55574cp-3f, 0x1.559ee8p-5f, 0x1.1108ap-7f};
};
HALFWAVE_INLINE Vec<float> narrow_logistic_slope(Vec<float> x) {
  const NarrowTail<NarrowLogisticSlope> f(abs(x));
  const Vec<float> tail = f.u / f.s;
  return tail * (Vec<float>(1) - tail);
}

// x * sigmoid(x), likewise.
struct NarrowGate {
  static constexpr float ln2 = 0x1.62e43p-1f, linear = 0x1.fffffcp-1f, one = 1;
  static constexpr float tail[] = {0x1.000054p-1f, 0x1.5556ecp-3f, 0x1.5598ep-5f, 0x1.115fccp-7f};
};
HALFWAVE_INLINE Vec<float> narrow_gate(Vec<float> x) {
  const NarrowTail<NarrowGate> f(abs(x));
  return max(Vec<float>(-0.0f), x) - (f.a * f.u) / f.s;
}

// Its derivative, likewise: with S = sigmoid(-a) that at -a is S - a*S + a*S^2, negative zero in the end.
struct NarrowGateSlope {
  static constexpr float ln2 = 0x1.62e43p-1f, linear = 1, one = 0x1.fffff6p-1f;
  static constexpr float tail[] = {0x1.00013ap-1f, 0x1.5556dcp-3f, 0x1.55cc9p-5f, 0x1.10c62p-7f};
};
HALFWAVE_INLINE Vec<float> narrow_gate_slope(Vec<float> x) {
  const NarrowTail<NarrowGateSlope> f(abs(x));
  const Vec<float> tail = f.u / f.s, w = f.a * tail;
  return mirrored(x, -fnma(w, tail, w - tail));
}

// e^-a / (1 + e^-a)^2 times `factor`, a power of two: with z = 1 - uq (= 1/(1 + e^-a)) it is u * q * z, and
// D = 1 - uq - z is what z lost.
template <class V>
HALFWAVE_INLINE V logistic_slope(const LogisticTail<V>& f, typename V::Scalar factor) {
  const V z = fnma(f.u, f.q, V(1));
  const V lost = fnma(f.u, f.q, V(1) - z);
  const V low = fma(f.correction, fma(V(2), z, V(-1)), lost);
  return fma(f.q, z, f.q * low) * (f.u * V(factor));
}

// x * sigmoid(t) for t = a or -a with the sign of x, and m = |x|: max(x, 0) - m * sigmoid(-a). The product m * u is exact,
// and in range where a is below LogisticRange::largest.
template <class V>
HALFWAVE_INLINE V gate(V x, V m, const LogisticTail<V>& f) {
  return max(V(-0.0f), x) - f.times(m);
}
// The same, in float below 2 ULP and half as fast again.
template <class V>
HALFWAVE_INLINE V quick_gate(V x, V m, const LogisticTail<V>& f) {
  if constexpr (sizeof(typename V::Scalar) == 4)
    return max(V(-0.0f), x) - (m * f.u) / f.rounded;
  else
    return gate(x, m, f);
}

// The derivative of x * sigmoid(t) at t = -a is sigmoid(-a) * (1 - v * sigmoid(a)), with v = -x * dt/dx; at a it is 1 minus
// that. Written as u * q * (b + v*u*q), b = 1 - v, with what each step loses added at the end, for it cancels. Where it does,
// b is exact.
template <class V>
HALFWAVE_INLINE V gate_slope(const LogisticTail<V>& f, V v) {
  const V b = V(1) - v;
  const V k = v * f.u;
  const V z = k * f.q;
  const V sum = b + z;
  const V low = fma(f.correction, sum + z, (z - (sum - b)) + fms(k, f.q, z));
  return fma(f.q, sum, f.q * low) * f.u;
}
// The same for v + v_low.
template <class V>
HALFWAVE_INLINE V gate_slope(const LogisticTail<V>& f, V v, V v_low) {
  const V b = V(1) - v;
  const V k = v * f.u;
  const V z = k * f.q;
  const V sum = b + z;
  const V lost = ((V(1) - b) - v) + ((z - (sum - b)) + fms(k, f.q, z));
  const V low = fma(f.correction, sum + z, fma(v_low, fms(f.u, f.q, V(1)), lost));
  return fma(f.q, sum, f.q * low) * f.u;
}

// root + d, |d| < radius: a derivative near its zero, elsewhere `far`. The linear term is kept in two parts, since the
// coefficient's rounding alone could be as much as the result's.
template <class Root, class V>
HALFWAVE_INLINE V near_root(V x, V far) {
  const V d = x - V(Root::root), slope = V(Root::slope[0]);
  const auto close = abs(d) < V(Root::radius);
  if (!any(close)) return far;
  V low = V(Root::value);
  if constexpr (requires { Root::slope_low; }) low = fma(d, V(Root::slope_low), low);
  const V linear = d * slope;
  const V near = linear + fma(d * d, polynomial_from<1>(d, Root::slope), fms(d, slope, linear) + low);
  return select(close, near, far);
}
// The same at x + x_low.
template <class Root, class V>
HALFWAVE_INLINE V near_root(V x, V x_low, V far) {
  const V high = x - V(Root::root);
  const V d = high + x_low;
  const auto close = abs(d) < V(Root::radius);
  if (!any(close)) return far;
  const V d_low = (high - d) + x_low;
  const V near = fma(d, polynomial(d, Root::slope), fma(d_low, V(Root::slope[0]), V(Root::value)));
  return select(close, near, far);
}

// Which of the eight polynomials of K is meant for a.
template <class K, class V>
HALFWAVE_INLINE V piece_of(V a) {
  using R = Reduction<typename V::Scalar>;
  return min(fma(a, V(K::near_steps), V(R::magic)), fma(a, V(K::far_steps), V(R::magic + 1)));
}

// near, and far() beyond K::largest.
template <class K, class V, class Far>
HALFWAVE_INLINE V unless_beyond(V a, V near, Far far) {
  const auto rare = a > V(K::largest);
  if (any(rare)) [[unlikely]]
    return select(rare, far(), near);
  return near;
}

// A function at -a by the eight polynomials of K, which reach as far as K::largest; `far` beyond. This is faster than a
// formula with an exponential, a division and corrections for what they round away.
template <class K, class V, class Far>
HALFWAVE_INLINE V by_pieces(V a, Far far) {
  const V near = min(V(K::largest), a);
  const V index = piece_of<K>(near);
  const V value = polynomial(lookup8(K::tail_centre, index) - near, index, K::tail);
  return unless_beyond<K>(a, value, far);
}

// The same at -(a + low). What the difference d from the centre loses in rounding counts by the slope. With y = c0 + d*p and
// p = c1 + d*p' that is p + d*p' and more, or about 2p - c1.
template <class K, class V, class Far>
HALFWAVE_INLINE V by_pieces(V a, V low, Far far) {
  const V index = piece_of<K>(a);
  const V high = lookup8(K::tail_centre, index) - a;
  const V d = high - low, d_low = (high - d) - low;
  const V p = polynomial_from<1>(d, index, K::tail), slope = fms(V(2), p, lookup8(K::tail[1], index));
  return unless_beyond<K>(a, fma(d_low, slope, fma(p, d, lookup8(K::tail[0], index))), far);
}

}  // namespace
}  // namespace halfwave
