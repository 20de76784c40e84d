// Finds constants for NarrowTail in csrc/math/logistic.hpp, with which no 16-bit input is rounded wrongly.
//
//     g++ -O2 -std=c++20 -mfma -mf16c -ffp-contract=off tools/narrow_logistic.cpp -o narrow_logistic
//     ./narrow_logistic sigmoid|sigmoid_slope|gate|gate_slope [SEED]
//
// Climbs from the best constants by random steps of a few units in the last place: first on the inputs whose exact value is
// near to a midpoint between two 16-bit numbers, to which those are added that a solution gets wrong.
#include <immintrin.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace {

using Word = uint16_t;

uint32_t bits_of(float x) {
  uint32_t b;
  memcpy(&b, &x, sizeof b);
  return b;
}
float from_bits(uint32_t b) {
  float x;
  memcpy(&x, &b, sizeof x);
  return x;
}

constexpr int terms = 4;
constexpr float scale = 0x1p40f;

struct Constants {
  float ln2 = 0x1.62e43p-1f, linear = scale, one = scale;
  float tail[terms] = {0x1.00005p-1f * scale, 0x1.5557p-3f * scale, 0x1.559ap-5f * scale, 0x1.114p-7f * scale};
};

// m * sigmoid(-a), as NarrowTail and what uses it compute it.
float tail(const Constants& k, float a, float m) {
  const float shift = 12582912.0f + 127 + 40, t = fmaf(-a, 0x1.715476p+0f, shift);
  const float u = from_bits(bits_of(t) << 23), p = fmaf(t - shift, k.ln2, a);
  float q = k.tail[terms - 1];
  for (int i = terms - 2; i >= 0; --i) q = fmaf(q, p, k.tail[i]);
  return (m * u) / (fmaf(fmaf(q, p, k.linear), p, u) + k.one);
}
float clipped(float x) { return fminf(115, fabsf(x)); }

float sigmoid(const Constants& k, float x) {
  const float y = tail(k, clipped(x), 1);
  return x >= 0 ? 1 - y : y;
}
float sigmoid_slope(const Constants& k, float x) {
  const float y = tail(k, clipped(x), 1);
  return y * (1 - y);
}
float gate(const Constants& k, float x) {
  const float a = clipped(x);
  return (x > 0 ? x : -0.0f) - tail(k, a, a);
}
float gate_slope(const Constants& k, float x) {
  const float a = clipped(x), y = tail(k, a, 1), w = a * y, z = fmaf(-w, y, w - y);
  return x >= 0 ? 1 + z : -z;
}

// Their exact values, of s = sigmoid(x) and 1 - s.
namespace exact {
using Real = long double;
Real sigmoid(Real, Real s, Real) { return s; }
Real sigmoid_slope(Real, Real s, Real rest) { return s * rest; }
Real gate(Real x, Real s, Real) { return x * s; }
Real gate_slope(Real x, Real s, Real rest) { return s * (1 + x * rest); }
}  // namespace exact

Word to_half(float x) { return Word(_cvtss_sh(x, 0)); }
Word to_half_above(float x) { return to_half(x == 0x1p-25f ? 0x1.000002p-25f : x); }
Word to_bfloat(float x) { return Word((bits_of(x) + 0x7fff + (bits_of(x) >> 16 & 1)) >> 16); }
Word to_bfloat_before(float x) { return Word((bits_of(x) + 0x7fff) >> 16); }
float from_half(Word w) { return _cvtsh_ss(w); }
float from_bfloat(Word w) { return from_bits(uint32_t(w) << 16); }

struct Input {
  float x;
  Word right;
};

struct Function {
  const char* name;
  float (*computed)(const Constants&, float);
  exact::Real (*value)(exact::Real x, exact::Real s, exact::Real rest);
  float far_below;  // its limit, where the exact value is nearer to it than any number
  int beside_zero;  // the sign of what follows the terms of order 0 and 1 for small x > 0; for x < 0 times that of `odd`
  bool odd;
  Word (*to_half)(float);    // how float results are rounded
  Word (*to_bfloat)(float);  // null: those near midpoints are computed again
};

// One function in one format: how its float results are rounded, and what they should become.
struct Goal {
  const Function& function;
  Word (*store)(float);
  std::vector<Input> all, critical;

  Goal(const Function& f, Word (*store_)(float), Word (*nearest)(float), float (*widen)(Word))
      : function(f), store(store_) {
    for (uint32_t w = 0; w < 65536; ++w) {
      const float x = widen(Word(w));
      if (x == 0 || !(fabsf(x) <= 3e38f)) continue;
      const exact::Real e = expl(-fabsl(x)), less = e / (1 + e), more = 1 / (1 + e);
      const exact::Real value = x > 0 ? f.value(x, more, less) : f.value(x, less, more);
      float odd = float(value);
      // What is beyond the last bit of long double.
      const bool above = value == odd ? f.beside_zero * (x < 0 && f.odd ? -1 : 1) > 0 : value > odd;
      if (odd != 0) {
        if (above == (odd < 0)) odd = from_bits(bits_of(odd) - 1);
        odd = from_bits(bits_of(odd) | 1);
      }
      const Input input{x, nearest(x < -200 ? f.far_below : odd)};
      all.push_back(input);
      const uint32_t b = bits_of(f.computed({}, x));
      if (nearest(from_bits(b + 24)) != input.right || (b > 24 && nearest(from_bits(b - 24)) != input.right))
        critical.push_back(input);
    }
  }
  bool wrong(const Constants& k, const Input& i) const { return store(function.computed(k, i.x)) != i.right; }
  int cost(const Constants& k, int limit) const {
    int n = 0;
    for (size_t j = 0; j < critical.size() && n < limit; ++j) n += wrong(k, critical[j]);
    return n;
  }
  bool complete(const Constants& k) {
    const size_t before = critical.size();
    for (const Input& i : all)
      if (wrong(k, i)) critical.push_back(i);
    return critical.size() == before;
  }
};

uint64_t state = 88172645463325252u;
int random_step(int width) {
  state ^= state << 13, state ^= state >> 7, state ^= state << 17;
  return int((state >> 20) % uint64_t(2 * width + 1)) - width;
}
void move(float& x, int width) { x = from_bits(bits_of(x) + uint32_t(random_step(width))); }

}  // namespace

int main(int argc, char** argv) {
  static constexpr Function functions[] = {
      {"sigmoid", sigmoid, exact::sigmoid, 0, 1, true, to_half, to_bfloat_before},
      {"sigmoid_slope", sigmoid_slope, exact::sigmoid_slope, 0, -1, false, to_half, to_bfloat},
      {"gate", gate, exact::gate, -0.0f, 1, false, to_half_above, nullptr},
      {"gate_slope", gate_slope, exact::gate_slope, -0.0f, 1, true, to_half, to_bfloat}};
  const Function* function = nullptr;
  for (const Function& f : functions)
    if (argc > 1 && strcmp(argv[1], f.name) == 0) function = &f;
  if (function == nullptr) return fputs("name a function, see the head of this file\n", stderr), 2;
  if (argc > 2) state *= 2 * strtoull(argv[2], nullptr, 10) + 1;

  std::vector<Goal> goals;
  goals.emplace_back(*function, function->to_half, to_half, from_half);
  if (function->to_bfloat != nullptr) goals.emplace_back(*function, function->to_bfloat, to_bfloat, from_bfloat);
  const auto cost = [&](const Constants& k, int limit) {
    int n = 0;
    for (const Goal& goal : goals) n += goal.cost(k, limit);
    return n;
  };
  Constants best, from;
  int least = cost(best, 1 << 30);
  for (long trial = 1;; ++trial) {
    if (trial % 5000 == 0) from = best;
    Constants k = from;
    move(k.ln2, 2), move(k.linear, 2);
    if (function->to_bfloat != nullptr) move(k.one, 2);
    for (int j = 0; j < terms; ++j)
      if (random_step(1) == 0) move(k.tail[j], 8 << 3 * j);
    const int n = cost(k, least + 3);
    if (n <= least || random_step(250) == 0) from = k;  // at times a step back, which may lead around
    if (n > least) continue;
    best = k, least = n;
    if (n != 0) continue;
    bool complete = true;
    for (Goal& goal : goals) complete &= goal.complete(k);
    if (complete) break;
    least = cost(best, 1 << 30);
  }
  printf("ln2 = %a, linear = %a, one = %a, tail = {", best.ln2, best.linear / scale, best.one / scale);
  for (int j = 0; j < terms; ++j) printf("%s%af", j ? ", " : "", best.tail[j] / scale);
  puts("}");
}
