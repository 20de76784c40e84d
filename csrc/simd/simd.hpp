// The vector layer: Vec<float> and Vec<double> of the instruction set that this translation unit is compiled for.
//
// HALFWAVE_ISA, defined on the command line, names it; each of the four files offers the same operations, and each
// operation gives the same bits in all of them. Everything lives in an anonymous namespace: code compiled with
// wider instructions must never be shared with the rest of the program by the linker.
#pragma once

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(_MSC_VER) && !defined(__clang__)
#define HALFWAVE_INLINE __forceinline
#define HALFWAVE_NOINLINE __declspec(noinline)
#define HALFWAVE_INLINE_LAMBDA
#else
#define HALFWAVE_INLINE inline __attribute__((always_inline))
#define HALFWAVE_NOINLINE __attribute__((noinline))
#define HALFWAVE_INLINE_LAMBDA __attribute__((always_inline))
#endif

// A vector that stays in its register, where GCC would rather read it again from memory for each use.
#if defined(__GNUC__) && !defined(__clang__)
#define HALFWAVE_KEEP(constraint, v) asm("" : constraint(v))
#else
#define HALFWAVE_KEEP(constraint, v)
#endif

// Before a loop: none of its iterations reads what another one writes.
#if defined(__clang__)
#define HALFWAVE_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#elif defined(_MSC_VER)
#define HALFWAVE_INDEPENDENT __pragma(loop(ivdep))
#else
#define HALFWAVE_INDEPENDENT _Pragma("GCC ivdep")
#endif

#define HALFWAVE_ISA_IS_scalar 1
#define HALFWAVE_ISA_IS_avx2 2
#define HALFWAVE_ISA_IS_avx512 3
#define HALFWAVE_ISA_IS_neon 4
#define HALFWAVE_CONCATENATE(a, b) a##b
#define HALFWAVE_ISA_NUMBER(isa) HALFWAVE_CONCATENATE(HALFWAVE_ISA_IS_, isa)

namespace halfwave {
namespace {

// A vector of T. Comparisons give a Vec<T>::Mask; `min(a, b)` is `a < b ? a : b` and `max(a, b)` is `a > b ? a : b`, so
// that the second operand is what survives a NaN; `times_sign(a, s)` is a, or -a where s has its sign bit set. `stream`
// stores to an aligned address, past the cache where the instruction set can. `in_register` is the same vector, not to be
// read again from where it was loaded.
template <class T>
struct Vec;

}  // namespace
}  // namespace halfwave

#if HALFWAVE_ISA_NUMBER(HALFWAVE_ISA) == 3
#include "avx512.hpp"
#elif HALFWAVE_ISA_NUMBER(HALFWAVE_ISA) == 2
#include "avx2.hpp"
#elif HALFWAVE_ISA_NUMBER(HALFWAVE_ISA) == 4
#include "neon.hpp"
#else
#include "scalar.hpp"
#endif
