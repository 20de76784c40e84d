#define HALFWAVE_IMPORTS_NUMPY
#include "ufunc.hpp"

#include <array>
#include <iterator>
#include <string_view>

#include "direct_call.hpp"
#include "loops.hpp"
#include "parameters.hpp"

namespace halfwave {
namespace {

constexpr const char* numpy_keywords[] = {"out", "where", "casting", "order", "dtype", "subok", "signature", "sig"};

bool is_numpy_keyword(PyObject* name) {
  for (const char* keyword : numpy_keywords)
    if (PyUnicode_CompareWithASCIIString(name, keyword) == 0) return true;
  return false;
}

void unknown_keyword(const Ufunc& self, PyObject* name) {
  std::string allowed;
  for (int k = 0; k < self.parameters; ++k) allowed += std::string(self.info.parameters[k].name) + ", ";
  allowed += "out, where, casting, order, dtype, subok, signature";
  PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument '%U'; allowed are %s", self.name.c_str(), name,
               allowed.c_str());
}

void append_item(std::string& list, std::string_view item) {
  if (!list.empty()) list += ", ";
  list += item;
}

void missing_operand(const Ufunc& self, Py_ssize_t given) {
  std::string names, packed;
  for (int k = 0; k < self.data; ++k) append_item(names, self.operand_name(k));
  if (self.info.gated && given == self.data - 1) {
    packed.append("; for one array that holds both gate and up there is ").append(self.info.name);
    packed.append(self.role == Role::forward ? "_packed(x, layout=...)" : "_packed_backward(g, x, layout=...)");
  }
  PyErr_Format(PyExc_TypeError, "%s() needs %d positional argument%s (%s), %zd given%s", self.name.c_str(), self.data,
               self.data == 1 ? "" : "s", names.c_str(), given, packed.c_str());
}

// The shape of an array or a sequence as Python writes it; nothing for whatever else it is.
std::string shape_of(PyObject* object) {
  const bool has_shape = PyArray_Check(object) || PyList_Check(object) || PyTuple_Check(object);
  PyObject* array = has_shape ? PyArray_FROM_O(object) : nullptr;
  if (!array) return {};
  const int n = PyArray_NDIM(as_array(array));
  std::string lengths;
  for (int d = 0; d < n; ++d) append_item(lengths, std::to_string(PyArray_DIM(as_array(array), d)));
  Py_DECREF(array);
  return std::string("(").append(lengths).append(n == 1 ? ",)" : ")");
}

// NumPy tells which shapes do not broadcast, but not whose they are. Any other error is left as it is.
void name_shapes(const Ufunc& self, PyObject* const* operands) {
  constexpr std::string_view words = "operands could not be broadcast together";
  PyObject *type, *error, *traceback;
  PyErr_Fetch(&type, &error, &traceback);
  PyErr_NormalizeException(&type, &error, &traceback);
  PyObject* text = PyObject_Str(error);
  const char* said = text ? PyUnicode_AsUTF8(text) : nullptr;
  const bool about_shapes = said && std::string_view(said).starts_with(words);
  Py_XDECREF(text);
  if (!about_shapes) return PyErr_Restore(type, error, traceback);
  std::string shapes;
  for (int k = 0; k < self.data + self.parameters; ++k)
    if (const std::string shape = shape_of(operands[k]); !shape.empty())
      append_item(shapes, std::string(self.operand_name(k)).append(" has shape ").append(shape));
  PyErr_Format(PyExc_ValueError, "%s: %s: %s", self.name.c_str(), words.data(), shapes.c_str());
  Py_DECREF(type);
  Py_DECREF(error);
  Py_XDECREF(traceback);
}

// The default of a parameter as an operand: for an array a 0-d array of the type of its loop's parameters, since NumPy
// takes a Python float four times as long, and would not make an integer of it.
PyObject* default_operand(const Ufunc& self, int parameter, const Type* type) {
  if (!type) return self.default_number[parameter];
  switch (type->parameter_number) {
    case NPY_FLOAT: return self.default_f32[parameter];
    case NPY_DOUBLE: return self.default_f64[parameter];
    default: return self.default_i64[parameter];
  }
}

// A reference that is given back at the end.
struct Owned {
  PyObject* object = nullptr;
  ~Owned() { Py_XDECREF(object); }
};

// What stands in a ufunc's vectorcall slot: NumPy's ufuncs take no default operands and no operands by keyword, so the
// parameters are filled in here, and the call goes on to NumPy.
PyObject* call(PyObject* callable, PyObject* const* args, std::size_t nargsf, PyObject* kwnames) {
  const Ufunc& self = Ufunc::of(callable);
  const Py_ssize_t nargs = PyVectorcall_NARGS(nargsf);
  const Py_ssize_t nkeywords = kwnames ? PyTuple_GET_SIZE(kwnames) : 0;
  const Py_ssize_t inputs = self.data + self.parameters;
  if (nargs < self.data) {
    missing_operand(self, nargs);
    return nullptr;
  }
  if (nargs > inputs + self.outputs) return self.numpy_call(callable, args, nargsf, kwnames);

  // Operands, positional outputs, then the keyword arguments that are NumPy's.
  constexpr std::size_t most = max_operands + std::size(numpy_keywords);
  std::array<PyObject*, 1 + most> storage;
  PyObject** filled = storage.data() + 1;  // NumPy may use the place before
  PyObject* names[std::size(numpy_keywords)];
  Py_ssize_t kept = 0;
  PyObject* given[max_parameters] = {};
  PyObject *out = nullptr, *where = nullptr, *dtype = nullptr;
  bool chooses_loop = false;

  for (Py_ssize_t k = self.data; k < nargs && k < inputs; ++k) given[k - self.data] = args[k];
  for (Py_ssize_t i = 0; i < nkeywords; ++i) {
    PyObject* name = PyTuple_GET_ITEM(kwnames, i);
    PyObject* value = args[nargs + i];
    int parameter = 0;
    while (parameter < self.parameters && PyUnicode_Compare(name, self.parameter_names[parameter]) != 0) ++parameter;
    if (parameter < self.parameters) {
      if (given[parameter]) {
        PyErr_Format(PyExc_TypeError, "%s() got multiple values for argument '%U'", self.name.c_str(), name);
        return nullptr;
      }
      given[parameter] = value;
    } else if (is_numpy_keyword(name)) {
      if (PyUnicode_CompareWithASCIIString(name, "out") == 0) out = value;
      if (PyUnicode_CompareWithASCIIString(name, "where") == 0) where = value;
      if (PyUnicode_CompareWithASCIIString(name, "dtype") == 0) dtype = value;
      chooses_loop |= PyUnicode_CompareWithASCIIString(name, "sig") == 0 ||
                      PyUnicode_CompareWithASCIIString(name, "signature") == 0;
      names[kept] = name;
      filled[inputs + (nargs > inputs ? nargs - inputs : 0) + kept++] = value;
    } else {
      unknown_keyword(self, name);
      return nullptr;
    }
  }

  const Type* integers =
      self.keeps_integers() && self.parameters && !chooses_loop ? integer_type(self, args[0], dtype) : nullptr;
  const Type* type =
      PyArray_CheckExact(args[0]) ? self.type(PyArray_TYPE(reinterpret_cast<PyArrayObject*>(args[0]))) : nullptr;
  for (int k = 0; k < self.data; ++k) filled[k] = args[k];
  for (int k = 0; k < self.parameters; ++k) {
    if (!given[k] && self.info.parameters[k].required) {
      PyErr_Format(PyExc_TypeError, "%s() is missing the required argument '%s': %s", self.name.c_str(),
                   self.info.parameters[k].name, self.info.parameters[k].meaning);
      return nullptr;
    }
    filled[self.data + k] = given[k] ? given[k] : default_operand(self, k, integers ? integers : type);
  }
  for (Py_ssize_t k = inputs; k < nargs; ++k) filled[k] = args[k];
  if (!check_domain(self, filled + self.data)) return nullptr;
  Owned converted[max_parameters];
  for (int k = 0; integers && k < self.parameters; ++k) {
    converted[k].object = integer_parameter(self, k, *integers, filled[self.data + k]);
    if (!converted[k].object) return nullptr;
    filled[self.data + k] = converted[k].object;
  }

  const bool positional_out = nargs > inputs;
  const bool plain = kept == (out != nullptr) + (where != nullptr) && !(out && positional_out);
  if (plain) {
    PyObject* result =
        call_directly(self, filled, positional_out ? filled + inputs : nullptr, nargs - inputs, out, where);
    if (result || PyErr_Occurred()) return result;
  }

  PyObject* remaining = nullptr;
  if (kept) {
    remaining = PyTuple_New(kept);
    if (!remaining) return nullptr;
    for (Py_ssize_t i = 0; i < kept; ++i) PyTuple_SET_ITEM(remaining, i, Py_NewRef(names[i]));
  }
  const std::size_t positional = std::size_t(nargs > inputs ? nargs : inputs);
  PyObject* result = self.numpy_call(callable, filled, positional | PY_VECTORCALL_ARGUMENTS_OFFSET, remaining);
  Py_XDECREF(remaining);
  if (!result && PyErr_ExceptionMatches(PyExc_ValueError)) name_shapes(self, filled);
  return result;
}

template <class T>
PyObject* zero_dimensional(int number, T value) {
  PyObject* array = PyArray_SimpleNew(0, nullptr, number);
  if (!array) return nullptr;
  *static_cast<T*>(PyArray_DATA(reinterpret_cast<PyArrayObject*>(array))) = value;
  PyArray_CLEARFLAGS(reinterpret_cast<PyArrayObject*>(array), NPY_ARRAY_WRITEABLE);
  return array;
}

bool make_defaults(Ufunc& self) {
  for (int k = 0; k < self.parameters; ++k) {
    const Parameter& parameter = self.info.parameters[k];
    // Those of functions that keep integers are whole numbers, and do for either kind of data.
    const bool whole = self.keeps_integers();
    self.parameter_names[k] = PyUnicode_InternFromString(parameter.name);
    self.default_number[k] = whole ? PyLong_FromDouble(parameter.value) : PyFloat_FromDouble(parameter.value);
    self.default_f32[k] = zero_dimensional(NPY_FLOAT, float(parameter.value));
    self.default_f64[k] = zero_dimensional(NPY_DOUBLE, parameter.value);
    self.default_i64[k] = zero_dimensional(NPY_INT64, npy_int64(parameter.value));
    if (PyErr_Occurred()) return false;
  }
  return true;
}

// The object's own vectorcall slot, which NumPy fills with its implementation.
bool wrap_calls(PyObject* ufunc, Ufunc& self) {
  const Py_ssize_t offset = Py_TYPE(ufunc)->tp_vectorcall_offset;
  if (offset <= 0) {
    PyErr_SetString(PyExc_ImportError, "halfwave: this NumPy's ufuncs have no vectorcall slot");
    return false;
  }
  auto* slot = reinterpret_cast<vectorcallfunc*>(reinterpret_cast<char*>(ufunc) + offset);
  self.numpy_call = *slot;
  *slot = call;
  return true;
}

}  // namespace

bool import_numpy() { return PyArray_ImportNumPyAPI() == 0 && PyUFunc_ImportUFuncAPI() == 0; }

bool check_parameters(PyObject* ufunc, PyObject* const* parameters) {
  return check_domain(Ufunc::of(ufunc), parameters);
}

PyObject* make_ufunc(const Info& info, int row, Role role, const std::string& name) {
  const Operation& op = current_instruction_set().rows[row][role];
  const int bias = role == Role::forward_with_bias || role == Role::backward_with_bias ? 1 : 0;
  auto* self = new Ufunc{.info = info,
                         .row = row,
                         .role = role,
                         .name = name,
                         .data = op.data + bias,
                         .parameters = op.parameters - bias,
                         .outputs = op.outputs};
  PyObject* ufunc = PyUFunc_FromFuncAndData(nullptr, &self->address, nullptr, 0, self->data + self->parameters,
                                            self->outputs, PyUFunc_None, self->name.c_str(), nullptr, 0);
  if (!ufunc || !make_defaults(*self) || !add_loops(ufunc, *self) || !wrap_calls(ufunc, *self)) return nullptr;
  return ufunc;
}

}  // namespace halfwave
