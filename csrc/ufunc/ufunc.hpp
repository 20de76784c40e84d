// A table entry becomes a numpy.ufunc.
#pragma once

#include <string>

#include "../activations/info.hpp"
#include "../numpy_api.hpp"
#include "../table.hpp"

namespace halfwave {

// Imports NumPy's C API; to be called first. Returns false with a Python error set.
bool import_numpy();

// One activation's operation as a ufunc: a new reference, or nullptr with a Python error set. `row` is its index in the
// catalogue. The ufunc is never freed.
PyObject* make_ufunc(const Info& info, int row, Role role, const std::string& name);

// Whether scalar parameters lie in the domain of one of our ufuncs; false with a Python error set.
bool check_parameters(PyObject* ufunc, PyObject* const* parameters);

}  // namespace halfwave
