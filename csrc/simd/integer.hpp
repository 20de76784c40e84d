// One integer in the place of a vector: the compiler makes vectors of a loop over them.
#pragma once

#include "simd.hpp"

namespace halfwave {
namespace {

// A number of an integer type, or one below all of them: what is left of a bound outside of the type's range. (One above
// all of them needs nothing of the kind: no comparison tells it from the largest.)
template <class T>
struct Integer {
  using Scalar = T;
  using Mask = bool;
  T v;
  bool below = false;

  Integer() = default;
  HALFWAVE_INLINE Integer(T x) : v(x) {}

  static constexpr bool is_signed = T(-1) < T(1);
  static constexpr T highest = is_signed ? T((uint64_t(1) << (8 * sizeof(T) - 1)) - 1) : T(-1);
  static constexpr T lowest = T(~highest);

  static HALFWAVE_INLINE Integer saturated(int64_t bound) {
    constexpr int64_t low = int64_t(lowest);
    constexpr int64_t high = uint64_t(highest) < uint64_t(INT64_MAX) ? int64_t(highest) : INT64_MAX;
    Integer r(T(bound < low ? low : bound > high ? high : bound));
    r.below = bound < low;
    return r;
  }

  friend HALFWAVE_INLINE bool operator>(Integer a, Integer b) { return (a.v > b.v) | b.below; }
  friend HALFWAVE_INLINE bool unordered(Integer, Integer) { return false; }
  friend HALFWAVE_INLINE Integer nan_from_parameter(Integer, Integer x) { return x; }
  friend HALFWAVE_INLINE Integer min(Integer a, Integer b) { return a.v < b.v ? a.v : b.v; }
  friend HALFWAVE_INLINE Integer max(Integer a, Integer b) { return a.v > b.v ? a.v : b.v; }
  friend HALFWAVE_INLINE Integer select(bool m, Integer a, Integer b) { return m ? a.v : b.v; }
};

}  // namespace
}  // namespace halfwave
