// The floating-point state of a kernel: round to nearest, subnormals kept, no traps; the caller's is put back, with its
// flags, so that a comparison with NaN inside does not become a warning outside.
#pragma once

#include <stdint.h>
#if defined(__x86_64__) || defined(_M_X64)
#include <xmmintrin.h>
#elif !defined(__aarch64__)
#include <fenv.h>
#endif

namespace halfwave {
namespace {

class FloatingPointState {
 public:
  FloatingPointState(const FloatingPointState&) = delete;
  FloatingPointState& operator=(const FloatingPointState&) = delete;

#if defined(__x86_64__) || defined(_M_X64)
  FloatingPointState() : control_(_mm_getcsr()) {
    constexpr unsigned defaults = 0x1f80;
    constexpr unsigned flags = 0x3f;
    if ((control_ & ~flags) != defaults) _mm_setcsr(defaults);
  }
  ~FloatingPointState() { _mm_setcsr(control_); }

 private:
  unsigned control_;
#elif defined(__aarch64__)
  FloatingPointState() {
    asm volatile("mrs %0, fpcr\n\tmrs %1, fpsr" : "=r"(control_), "=r"(flags_));
    if (control_ != 0) asm volatile("msr fpcr, %0" : : "r"(uint64_t(0)));
  }
  ~FloatingPointState() {
    if (control_ != 0) asm volatile("msr fpcr, %0" : : "r"(control_));
    asm volatile("msr fpsr, %0" : : "r"(flags_));
  }

 private:
  uint64_t control_, flags_;
#else
  FloatingPointState() {
    fegetenv(&environment_);
    fesetenv(FE_DFL_ENV);
  }
  ~FloatingPointState() { fesetenv(&environment_); }

 private:
  fenv_t environment_;
#endif
};

}  // namespace
}  // namespace halfwave
