// The loops of a ufunc, and the choice among them.
#pragma once

#include "object.hpp"

namespace halfwave {

// Gives a ufunc its loops, and what finds one for operands of other dtypes; false with a Python error set.
bool add_loops(PyObject* ufunc, const Ufunc& self);

}  // namespace halfwave
