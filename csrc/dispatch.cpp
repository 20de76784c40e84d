#include "dispatch.hpp"

#include <array>
#include <atomic>
#include <cstdint>
#include <stdexcept>
#include <vector>

#if defined(__x86_64__) || defined(_M_X64)
#define HALFWAVE_X86 1
#if defined(_MSC_VER)
#include <intrin.h>
#else
#include <cpuid.h>
#endif
#endif

namespace halfwave {

extern const InstructionSet instruction_set_scalar;
#if defined(HALFWAVE_X86)
extern const InstructionSet instruction_set_avx2, instruction_set_avx512;
#elif defined(__aarch64__)
extern const InstructionSet instruction_set_neon;
#endif

namespace {

#if defined(HALFWAVE_X86)

struct Registers {
  std::uint32_t a, b, c, d;
};

Registers cpuid(std::uint32_t leaf) {
#if defined(_MSC_VER)
  int r[4];
  __cpuidex(r, static_cast<int>(leaf), 0);
  return {std::uint32_t(r[0]), std::uint32_t(r[1]), std::uint32_t(r[2]), std::uint32_t(r[3])};
#else
  Registers r{};
  __cpuid_count(leaf, 0, r.a, r.b, r.c, r.d);
  return r;
#endif
}

// The register state that the operating system saves and restores.
std::uint64_t saved_state() {
#if defined(_MSC_VER)
  return _xgetbv(0);
#else
  std::uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (std::uint64_t(high) << 32) | low;
#endif
}

constexpr bool all(std::uint64_t value, std::uint64_t bits) { return (value & bits) == bits; }
constexpr std::uint64_t bit(int n) { return std::uint64_t(1) << n; }

struct Features {
  bool avx2 = false, avx512 = false;
};

Features detect() {
  Features found;
  if (cpuid(0).a < 7) return found;
  const Registers basic = cpuid(1), extended = cpuid(7);
  constexpr std::uint64_t fma = bit(12), osxsave = bit(27), avx = bit(28), f16c = bit(29);
  if (!all(basic.c, fma | osxsave | avx | f16c)) return found;
  const std::uint64_t state = saved_state();
  constexpr std::uint64_t ymm = 0x06, zmm = 0xe6;
  constexpr std::uint64_t avx2 = bit(5), avx512 = bit(16) | bit(17) | bit(30) | bit(31);  // F, DQ, BW, VL
  found.avx2 = all(state, ymm) && all(extended.b, avx2);
  found.avx512 = found.avx2 && all(state, zmm) && all(extended.b, avx512);
  return found;
}

std::vector<const InstructionSet*> detect_supported() {
  const Features features = detect();
  std::vector<const InstructionSet*> sets;
  if (features.avx512) sets.push_back(&instruction_set_avx512);
  if (features.avx2) sets.push_back(&instruction_set_avx2);
  sets.push_back(&instruction_set_scalar);
  return sets;
}

#elif defined(__aarch64__)
std::vector<const InstructionSet*> detect_supported() { return {&instruction_set_neon, &instruction_set_scalar}; }
#else
std::vector<const InstructionSet*> detect_supported() { return {&instruction_set_scalar}; }
#endif

std::atomic<const InstructionSet*>& current() {
  static std::atomic<const InstructionSet*> set{supported_instruction_sets().front()};
  return set;
}

}  // namespace

std::span<const InstructionSet* const> supported_instruction_sets() {
  static const std::vector<const InstructionSet*> sets = detect_supported();
  return sets;
}

const InstructionSet& current_instruction_set() { return *current().load(std::memory_order_relaxed); }

void use_instruction_set(const std::string& name, const char* source) {
  std::string allowed;
  for (const InstructionSet* set : supported_instruction_sets()) {
    if (name == set->name) {
      current().store(set, std::memory_order_relaxed);
      return;
    }
    if (!allowed.empty()) allowed += ", ";
    allowed += set->name;
  }
  throw std::invalid_argument(std::string(source) + "='" + name +
                              "' is not an instruction set that this CPU has; allowed here: " + allowed);
}

}  // namespace halfwave
