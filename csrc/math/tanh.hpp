#pragma once

#include "exp.hpp"

namespace halfwave {
namespace {

template <class T>
struct TanhRange;
template <>
struct TanhRange<float> {
  static constexpr float is_one = 10;  // its square as well
};
template <>
struct TanhRange<double> {
  static constexpr double is_one = 20;
};

// tanh(|x|), below 1 ULP, in two parts, rough + fine. With u = 2^n = e^(2a) / e^(2p) and t = tanh(p),
//
//   tanh(a) = (u * (1 + t) - (1 - t)) / (u * (1 + t) + (1 - t)) = A + (t * (u*g + h) + u*g - h) / ((u + 1) + t * (u - 1))
//
// for any g, A = 1 - g and h = 2 - g. A rough value A of the result, looked up, makes the quotient small, and with it every
// rounding before the final addition. Its few bits keep u*g and h exact. The bias of -1/4 in the rounding of n keeps
// u*g - h from cancelling at n = 1.
template <class V>
struct HyperbolicTangent {
  V rough, fine;

  explicit HALFWAVE_INLINE HyperbolicTangent(V x) {
    using T = typename V::Scalar;
    using K = Reduction<T>;
    static constexpr float distance_to_one[8] = {1.0f,      0.8125f,  0.65625f,  0.515625f,
                                                 0.390625f, 0.28125f, 0.203125f, 0.0f};
    const V a = min(V(TanhRange<T>::is_one), abs(x));
    const V t2 = fma(a, V(2 * K::log2e), V(-0.25f)) + V(K::magic + K::exponent_bias);
    const V u = exponent_from_low_bits(t2);
    const V n = t2 - V(K::magic + K::exponent_bias);
    const V p = fnma(n, V(K::ln2_low / 2), fnma(n, V(K::ln2_high / 2), a));
    const V z = p * p;
    const V t = fma(p * z, polynomial(z, Tanh<T>::tail), p);
    const V g = lookup8(distance_to_one, min(V(K::magic + 7), fma(a, V(5.5f), V(K::magic))));
    const V ug = u * g;
    const V h = V(2) - g;
    rough = V(1) - g;
    fine = fma(t, ug + h, ug - h) / fma(t, u - V(1), u + V(1));
  }
};

// The piece of TanhPieces that |x| lies in, in float: polynomials in d, looked up by `index`. They serve up to t, beyond which
// tanh is 1.
template <class V>
struct TanhPiece {
  using K = TanhPieces<typename V::Scalar>;
  V a, t, index;

  explicit HALFWAVE_INLINE TanhPiece(V x) : a(abs(x)), t(min(V(K::largest), a)) {
    index = half_octave(fma(V(K::steps), t, V(2)));
  }

  // In the first piece t takes the place of c[0].
  HALFWAVE_INLINE V tanh() const {
    const V first = min(t, lookup8(K::tanh[0], index));
    return polynomial(t - lookup8(K::tanh_centre, index), index, first, K::tanh);
  }
  // a - tanh(a). The last two steps before the sum with c[0] keep what their rounding loses, which in the first piece, where
  // the result is their product with d, would be in all of it.
  HALFWAVE_INLINE V shrink() const {
    const V d = t - lookup8(K::shrink_centre, index);
    const V s = polynomial_from<3>(d, index, K::shrink);
    const V c2 = lookup8(K::shrink[2], index), c1 = lookup8(K::shrink[1], index);
    const V p = fma(s, d, c2), p_low = fma(s, d, c2 - p);
    const V q = fma(p, d, c1), q_low = fma(p_low, d, fma(p, d, c1 - q));
    return fma(q, d, fma(q_low, d, lookup8(K::shrink[0], index) + (a - t)));
  }
  // The same for results of 16 bits, without what the rounding loses.
  HALFWAVE_INLINE V narrow_shrink() const {
    const V d = t - lookup8(K::shrink_centre, index);
    return fma(polynomial_from<1>(d, index, K::shrink), d, lookup8(K::shrink[0], index) + (a - t));
  }
  // tanh(a)^2, likewise by its last three steps, and the sum with c[0].
  HALFWAVE_INLINE V square() const {
    const V d = t - lookup8(K::square_centre, index);
    const V r = polynomial_from<3>(d, index, K::square);
    const V c2 = lookup8(K::square[2], index), c1 = lookup8(K::square[1], index), c0 = lookup8(K::square[0], index);
    const V s = fma(r, d, c2), s_low = fma(r, d, c2 - s);
    const V p = fma(s, d, c1), p_low = fma(s_low, d, fma(s, d, c1 - p));
    const V y = fma(p, d, c0);
    return y + fma(p_low, d, fma(p, d, c0 - y));
  }
};

template <class V>
HALFWAVE_INLINE V hyperbolic_tangent(V x) {
  if constexpr (sizeof(typename V::Scalar) == 4) {
    return copysign(TanhPiece<V>(x).tanh(), x);
  } else {
    const HyperbolicTangent<V> t(x);
    return copysign(t.rough + t.fine, x);
  }
}

}  // namespace
}  // namespace halfwave
