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

// The greatest error in units in the last place. 16-bit results are correctly rounded.
struct Bound {
  float f32 = 0;
  float f64 = 0;
  // Whether a float result, rounded once more, is the right one for every 16-bit input, at the default parameters and
  // g = 1. Few but piecewise polynomials have it; all others are computed in double where float does not decide.
  bool decides_16_bits = false;
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
