// What the world outside the kernels knows of an activation.
#pragma once

namespace halfwave {

struct Parameter {
  const char* name = nullptr;
  const char* meaning = nullptr;
  bool required = false;
  double value = 0;        // the default
  bool is_result = false;  // the forward returns it, so that an integer has to fit into the result's type
};

// A condition on the parameters, true of NaN; `text` completes "… must be".
struct Condition {
  const char* text = nullptr;
  bool (*holds)(const double* parameters) = nullptr;
};

// Which float results, rounded once more, do not give the right 16-bit number for every 16-bit input, at the default
// parameters and g = up = 1. Those are computed in double; the fewer they are, the faster are 16 bits. Meant are the results
// of `forward_narrow` or `backward_narrow` where an activation has them.
enum class Doubt : unsigned char {
  near_midpoints,         // so near to a midpoint between two 16-bit numbers that their error may lead across
  near_normal_midpoints,  // the same, but for midpoints between subnormal numbers
  at_midpoints,           // midpoints alone
  at_normal_midpoints,    // the same, but for those between subnormal numbers
  beyond_range,           // none but a product with a large factor, if the other one vanishes in float
  beyond_range_away,      // the same, and midpoints are rounded away from zero: faster in bfloat16
  exact_is_beyond,  // the same; where float gives a midpoint, the exact result is farther from zero, with the default
  exact_is_before,  // parameters, or nearer to it: with others a result may be a hair more than half a unit off
  exact_is_above,  // the same, where it is greater; in float16, at the midpoint between 0 and the smallest number alone
  exact_is_off_half,  // the same, where it is farther from 1/2; for results in [0, 1] alone
  never,              // none at all; and a midpoint may be the exact result, as it is of piecewise polynomials
  not_rounded,        // none: the result has 16 bits, being one of the operands that have, or a constant
};

// The greatest error in units in the last place. 16-bit results are correctly rounded.
struct Bound {
  float f32 = 0;
  float f64 = 0;
  Doubt float16 = f32 == 0 ? Doubt::never : Doubt::near_midpoints;
  Doubt bfloat16 = float16;
};

struct Info {
  const char* name;
  const char* title;
  const char* formula;
  const char* derivative;
  const char* curvature = "0";  // the second derivative
  const char* kink = nullptr;
  const char* source;
  const char* note = nullptr;
  bool gated = false;
  bool keeps_integers = false;  // the forward maps integers to integers
  Parameter parameters[3] = {};
  Condition domain = {};
  Condition from_output_domain = {};
  const char* from_output = nullptr;  // the derivative as a function of y, and how far it may differ
  const char* mask = nullptr;         // where the derivative is 1, if elsewhere it is that at 0
  Bound forward = {};
  Bound backward = {};
  Bound backward_from_output = {};
  Bound second_derivative = {};

  constexpr int data() const { return gated ? 2 : 1; }
  constexpr int parameter_count() const {
    int n = 0;
    while (n < 3 && parameters[n].name) ++n;
    return n;
  }
};

}  // namespace halfwave
