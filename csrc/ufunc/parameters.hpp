// The parameters of a call: their values, their domain, and what becomes of them where the data are integers.
#pragma once

#include "object.hpp"

namespace halfwave {

union Value {
  float f32;
  double f64;
  npy_int64 i64;
};

// A scalar parameter in the type that is computed with; false where the conversion is for NumPy to do.
bool convert_parameter(const Type& type, PyObject* given, Value& converted);

// Scalar parameters must lie in the function's domain; a from-output form looks at each element of arrays too. Returns
// false with a Python error set.
bool check_domain(const Ufunc& self, PyObject* const* given);

// The type of a loop for integers if one will take these data, which are integers, else nullptr. `dtype` is that keyword's
// value.
const Type* integer_type(const Ufunc& self, PyObject* x, PyObject* dtype);

// A parameter for data of integers, in int64: a new reference, or nullptr with an error set. What is not real, or is not
// an array, is left as it is, for NumPy to refuse or to pass on.
PyObject* integer_parameter(const Ufunc& self, int k, const Type& type, PyObject* given);

}  // namespace halfwave
