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
  bool is_forward() const {
    return role == Role::forward || role == Role::second_derivative || role == Role::forward_with_bias ||
           role == Role::forward_with_residual;
  }
  bool has_bias() const { return role == Role::forward_with_bias || role == Role::backward_with_bias; }
  bool has_residual() const { return role == Role::forward_with_residual || role == Role::backward_with_residual; }
  // Whether an operand has no say in the dtype of the result, and is converted to the type that is computed with. A bias
  // is one that must be given; `data` counts it, `parameters` does not.
  bool is_parameter(int operand) const { return operand >= data - has_bias() && operand < data + parameters; }
  int number_of(int operand, const Type& type) const {
    return is_parameter(operand) ? type.parameter_number : type.number;
  }
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
    const bool backward = !is_forward();
    if (backward && k == 0) return "g";
    if (k == data - 1 && has_bias()) return "bias";
    if (k == data - 1 && has_residual()) return "residual";
    if (info.gated) return k == (backward ? 1 : 0) ? "gate" : "up";
    return from_output() ? "y" : "x";
  }
  const Condition& condition() const { return from_output() ? info.from_output_domain : info.domain; }
  const Operation& operation() const { return current_instruction_set().rows[row][role]; }

  static Ufunc& of(PyObject* ufunc) { return *static_cast<Ufunc*>(reinterpret_cast<PyUFuncObject*>(ufunc)->data[0]); }
};

inline PyArrayObject* as_array(PyObject* object) { return reinterpret_cast<PyArrayObject*>(object); }

}  // namespace halfwave
