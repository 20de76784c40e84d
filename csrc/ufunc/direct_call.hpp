// Calls that go around NumPy's machinery.
#pragma once

#include "object.hpp"

namespace halfwave {

// The call without NumPy's machinery, where it would do nothing but call the loop. `operands` are the data and the
// parameters, `positional` the first `count` outputs, or nullptr; `out` and `where` are those keywords' values, or nullptr.
// Returns nullptr without an error where the call is left to NumPy.
PyObject* call_directly(const Ufunc& self, PyObject* const* operands, PyObject* const* positional, Py_ssize_t count,
                        PyObject* out, PyObject* where);

// Tests switch direct calls off to compare. Returns how it was.
bool set_direct_calls(bool enabled);

}  // namespace halfwave
