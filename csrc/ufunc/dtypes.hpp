// The dtypes that there are loops for, and what NumPy calls them.
#pragma once

#include <span>
#include <string>

#include "../numpy_api.hpp"
#include "../table.hpp"

namespace halfwave {

struct Type {
  Storage storage;
  int number;  // NumPy's; that of bfloat16 is known as soon as somebody uses it
  int parameter_number;
};

// NumPy's own, in ascending order, as it looks for loops. bfloat16 is none of them.
std::span<const Type> builtin_types();

// The type of NumPy's type `number`, or nullptr.
const Type* type_of(int number);

// Whether it is ml_dtypes' bfloat16. We never import that package: whoever has such an array has done so.
bool is_bfloat16(int number);

// Whether it is a type, or bool, which is an integer to NumPy.
bool is_real(int number);

// The class of a dtype that has a number: a borrowed reference to an immortal object.
PyArray_DTypeMeta* dtype_class(int number);

// "float32": for messages.
std::string dtype_name(PyArray_DTypeMeta* dtype);

}  // namespace halfwave
