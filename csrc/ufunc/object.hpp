// What a ufunc of ours knows of itself.
#pragma once

#include <string>

#include "../activations/info.hpp"
#include "../dispatch.hpp"
#include "dtypes.hpp"

namespace halfwave {

// Its address is in the ufunc's `data`.
struct Ufunc {
  const Info& info;
  int row;
  Role role;
  std::string name;
  int data, parameters, outputs;
  vectorcallfunc numpy_call = nullptr;
  PyObject* parameter_names[max_parameters] = {};
  // 0-d arrays of float, double and int64, and a Python float.
  PyObject *default_f32[max_parameters] = {}, *default_f64[max_parameters] = {}, *default_i64[max_parameters] = {};
  PyObject* default_number[max_parameters] = {};
  bool has_bfloat16_loop = false;
  void* address = this;

  bool from_output() const { return role == Role::backward_from_output; }
  bool keeps_integers() const { return role == Role::forward && info.keeps_integers; }
  bool is_parameter(int operand) const { return operand >= data && operand < data + parameters; }
  int operands() const { return data + parameters + outputs; }

  // The type of a loop for data of NumPy's type `number`, or nullptr if there is none.
  const Type* type(int number) const {
    const Type* found = type_of(number);
    return found && is_integer(found->storage) && !keeps_integers() ? nullptr : found;
  }
  const char* supported_dtypes() const {
    return keeps_integers() ? "float16, bfloat16, float32, float64 and integers"
                            : "float16, bfloat16, float32 and float64";
  }
  const char* operand_name(int k) const {
    if (k >= data) return info.parameters[k - data].name;
    const bool backward = role != Role::forward && role != Role::second_derivative;
    if (backward && k == 0) return "g";
    if (info.gated) return k == (backward ? 1 : 0) ? "gate" : "up";
    return from_output() ? "y" : "x";
  }
  const Condition& condition() const { return from_output() ? info.from_output_domain : info.domain; }
  const Operation& operation() const { return current_instruction_set().rows[row][role]; }

  static Ufunc& of(PyObject* ufunc) { return *static_cast<Ufunc*>(reinterpret_cast<PyUFuncObject*>(ufunc)->data[0]); }
};

inline PyArrayObject* as_array(PyObject* object) { return reinterpret_cast<PyArrayObject*>(object); }

}  // namespace halfwave
