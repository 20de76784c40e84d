// Forward and backward passes by a mask of one bit per element.
#pragma once

#include "numpy_api.hpp"

namespace halfwave {

// Both are of the activation in a row of the catalogue, which has a mask. x and g are arrays of a float dtype, in any memory
// layout; y and dx, arrays like them or nullptr for a new one, are the same memory or share none with any operand; the mask
// is contiguous, and the parameters are real scalars. Both return the result, a new reference, or nullptr with a Python
// error set.
PyObject* forward_with_mask(int row, PyObject* x, PyObject* mask, PyObject* const* parameters, PyObject* y);
PyObject* backward_from_mask(int row, PyObject* g, PyObject* mask, PyObject* const* parameters, PyObject* dx);

// The same with all arguments as they were given, where there is nothing to convert, to copy or to refuse: plain contiguous
// arrays. Else they return None, and it is for the Python side to look at the arguments.
PyObject* forward_with_mask_directly(int row, PyObject* x, PyObject* const* parameters, PyObject* out);
PyObject* backward_from_mask_directly(int row, PyObject* g, PyObject* mask, PyObject* const* parameters, PyObject* out);

}  // namespace halfwave
