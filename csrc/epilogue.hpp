// Activations of x + bias without the Python side, where that would do nothing but pass on its arguments.
#pragma once

#include "numpy_api.hpp"

namespace halfwave {

// Whether x and bias are plain arrays of which the ufunc of x + bias takes each as it is, the bias along the last axis.
bool bias_fits(PyObject* x, PyObject* bias);

// What runs the backward pass: the activation's row in the catalogue, and all of its parameters, numbers in its domain.
struct BackwardOfBias {
  int row;
  bool from_output;
  PyObject* parameters;  // a tuple
};

// (dx, dbias) of operands as they were given, a new reference, for a bias along the last axis; `bias` is nullptr from the
// output, and `out` is nullptr for a new array. None where it is for the Python side to look at the arguments, nullptr with
// a Python error set.
PyObject* backward_with_bias_directly(const BackwardOfBias& function, PyObject* g, PyObject* x, PyObject* bias,
                                      PyObject* out);

}  // namespace halfwave
