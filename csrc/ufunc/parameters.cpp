#include "parameters.hpp"

#include <cmath>
#include <limits>
#include <optional>

#include "../floating_point_state.hpp"

namespace halfwave {
namespace {

bool is_number(PyObject* object) {
  return PyFloat_CheckExact(object) || PyLong_CheckExact(object) || PyBool_Check(object);
}

bool is_bfloat16_scalar(PyObject* object) {
  if (!PyArray_IsScalar(object, Generic) || PyArray_IsScalar(object, Number)) return false;
  PyArray_Descr* descriptor = PyArray_DescrFromScalar(object);
  const bool found = descriptor && is_bfloat16(descriptor->type_num);
  Py_XDECREF(descriptor);
  PyErr_Clear();
  return found;
}

// The value of a 0-d array of float32 or float64, as defaults are: in a tenth of the time that Python takes to ask for it.
std::optional<double> array_value(PyObject* object) {
  if (!PyArray_CheckExact(object)) return std::nullopt;
  auto* array = reinterpret_cast<PyArrayObject*>(object);
  if (PyArray_NDIM(array) != 0 || !PyArray_ISBEHAVED_RO(array)) return std::nullopt;
  if (PyArray_TYPE(array) == NPY_FLOAT) return *static_cast<const float*>(PyArray_DATA(array));
  if (PyArray_TYPE(array) == NPY_DOUBLE) return *static_cast<const double*>(PyArray_DATA(array));
  return std::nullopt;
}

// The value of a real scalar, Python's or NumPy's, 0-d arrays included; nothing for whatever else it is.
std::optional<double> scalar_value(PyObject* object) {
  if (PyFloat_CheckExact(object)) return PyFloat_AS_DOUBLE(object);
  if (const std::optional<double> value = array_value(object)) return value;
  const bool numpy_scalar = PyArray_IsScalar(object, Floating) || PyArray_IsScalar(object, Integer);
  const bool array = PyArray_CheckExact(object) && PyArray_NDIM(reinterpret_cast<PyArrayObject*>(object)) == 0 &&
                     is_real(PyArray_TYPE(reinterpret_cast<PyArrayObject*>(object)));
  if (!is_number(object) && !numpy_scalar && !array && !is_bfloat16_scalar(object)) return std::nullopt;
  const double value = PyFloat_AsDouble(object);
  if (value == -1 && PyErr_Occurred()) {
    PyErr_Clear();
    return std::nullopt;
  }
  return value;
}

bool reject(const Ufunc& self) {
  PyErr_Format(PyExc_ValueError, "%s: %s", self.name.c_str(), self.condition().text);
  return false;
}

// A real array or sequence as a float64 array; nullptr for what is not real.
PyObject* as_doubles(PyObject* object) {
  PyObject* array = PyArray_FROM_O(object);
  if (!array || !is_real(PyArray_TYPE(reinterpret_cast<PyArrayObject*>(array)))) {
    Py_XDECREF(array);
    return nullptr;
  }
  PyObject* doubles = PyArray_FROMANY(array, NPY_DOUBLE, 0, 0, NPY_ARRAY_CARRAY_RO | NPY_ARRAY_FORCECAST);
  Py_DECREF(array);
  return doubles;
}

// Whether the condition holds for all elements of parameters of which some are arrays.
bool holds_everywhere(const Ufunc& self, PyObject* const* given) {
  PyObject* arrays[max_parameters] = {};
  bool usable = true;
  for (int k = 0; k < self.parameters && usable; ++k) {
    const bool sequence = PyList_Check(given[k]) || PyTuple_Check(given[k]);
    if (sequence || PyArray_Check(given[k]) || scalar_value(given[k])) arrays[k] = as_doubles(given[k]);
    usable = arrays[k] != nullptr;
  }
  bool holds = true;
  PyErr_Clear();  // what is wrong with their dtypes or shapes is NumPy's to say
  PyObject* iterator = usable ? PyArray_MultiIterFromObjects(arrays, self.parameters, 0) : nullptr;
  if (iterator) {
    double values[max_parameters];
    while (holds && PyArray_MultiIter_NOTDONE(iterator)) {
      for (int k = 0; k < self.parameters; ++k) values[k] = *static_cast<double*>(PyArray_MultiIter_DATA(iterator, k));
      holds = self.condition().holds(values);
      PyArray_MultiIter_NEXT(iterator);
    }
  }
  PyErr_Clear();
  Py_XDECREF(iterator);
  for (PyObject* array : arrays) Py_XDECREF(array);
  return holds;
}

// The value of a 0-d int64 array: what the parameters of integers have been converted to.
const npy_int64* integer_value(PyObject* object) {
  if (!PyArray_CheckExact(object)) return nullptr;
  auto* array = reinterpret_cast<PyArrayObject*>(object);
  if (PyArray_NDIM(array) != 0 || PyArray_TYPE(array) != NPY_INT64 || !PyArray_ISCARRAY_RO(array)) return nullptr;
  return static_cast<const npy_int64*>(PyArray_DATA(array));
}

// int64 from whole numbers, saturated. Returns what is wrong with one that has no place there, or nullptr.
const char* whole_numbers(const double* from, npy_int64* to, npy_intp n, bool saturate) {
  for (npy_intp i = 0; i < n; ++i) {
    if (!std::isfinite(from[i]) || std::trunc(from[i]) != from[i])
      return "must be a whole number where x is of integers";
    if (from[i] >= 0x1p63 && !saturate) return "must be below 2**63 where x is of uint64";
    to[i] = from[i] >= 0x1p63    ? std::numeric_limits<npy_int64>::max()
            : from[i] <= -0x1p63 ? std::numeric_limits<npy_int64>::min()
                                 : npy_int64(from[i]);
  }
  return nullptr;
}
const char* whole_numbers(const npy_uint64* from, npy_int64* to, npy_intp n, bool saturate) {
  constexpr npy_uint64 largest = npy_uint64(std::numeric_limits<npy_int64>::max());
  for (npy_intp i = 0; i < n; ++i) {
    if (from[i] > largest && !saturate) return "must be below 2**63 where x is of uint64";
    to[i] = npy_int64(from[i] < largest ? from[i] : largest);
  }
  return nullptr;
}
const char* whole_numbers(const npy_int64* from, npy_int64* to, npy_intp n, bool) {
  for (npy_intp i = 0; i < n; ++i) to[i] = from[i];
  return nullptr;
}

bool fits(npy_int64 value, Storage storage) {
  const bool is_signed = storage < Storage::uint8;
  const int bits = 8 << ((int(storage) - int(Storage::int8)) % 4);
  const npy_int64 low = is_signed ? -1 - ((npy_int64(1) << (bits - 2)) * 2 - 1) : 0;
  const npy_int64 high = is_signed   ? -1 - low
                         : bits < 64 ? (npy_int64(1) << bits) - 1
                                     : std::numeric_limits<npy_int64>::max();
  return low <= value && value <= high;
}

PyObject* new_integer(npy_int64 value) {
  PyObject* array = PyArray_SimpleNew(0, nullptr, NPY_INT64);
  if (array) *static_cast<npy_int64*>(PyArray_DATA(reinterpret_cast<PyArrayObject*>(array))) = value;
  return array;
}

template <class T>
PyObject* as_integers(const Ufunc& self, int k, const Type& type, PyObject* source, int number) {
  const Parameter& parameter = self.info.parameters[k];
  auto* from = reinterpret_cast<PyArrayObject*>(
      PyArray_FROMANY(source, number, 0, 0, NPY_ARRAY_CARRAY_RO | NPY_ARRAY_FORCECAST));
  if (!from) return nullptr;
  auto* result = reinterpret_cast<PyArrayObject*>(PyArray_SimpleNew(PyArray_NDIM(from), PyArray_DIMS(from), NPY_INT64));
  const char* wrong = nullptr;
  if (result) {
    auto* values = static_cast<npy_int64*>(PyArray_DATA(result));
    const npy_intp n = PyArray_SIZE(from);
    wrong = whole_numbers(static_cast<const T*>(PyArray_DATA(from)), values, n, type.storage != Storage::uint64);
    for (npy_intp i = 0; i < n && !wrong && parameter.is_result; ++i)
      if (!fits(values[i], type.storage)) wrong = "must fit into the dtype of x";
  }
  if (wrong) {
    PyErr_Format(PyExc_ValueError, "%s: %s %s", self.name.c_str(), parameter.name, wrong);
    Py_CLEAR(result);
  }
  Py_DECREF(from);
  return reinterpret_cast<PyObject*>(result);
}

}  // namespace

bool convert_parameter(const Type& type, PyObject* given, Value& converted) {
  if (is_integer(type.storage)) {
    const npy_int64* bound = integer_value(given);
    if (bound) converted.i64 = *bound;
    return bound != nullptr;
  }
  const std::optional<double> value = scalar_value(given);
  if (!value) return false;
  if (type.parameter_number == NPY_DOUBLE) {
    converted.f64 = *value;
    return true;
  }
  const FloatingPointState state;
  converted.f32 = float(*value);
  return !std::isinf(converted.f32) || std::isinf(*value);  // of an overflow NumPy warns
}

bool check_domain(const Ufunc& self, PyObject* const* given) {
  if (!self.condition().holds) return true;
  double values[max_parameters];
  bool scalars = true;
  for (int k = 0; k < self.parameters; ++k) {
    const std::optional<double> value = scalar_value(given[k]);
    if (value)
      values[k] = *value;
    else
      scalars = false;
  }
  if (scalars) return self.condition().holds(values) || reject(self);
  return !self.from_output() || holds_everywhere(self, given) || reject(self);
}

const Type* integer_type(const Ufunc& self, PyObject* x, PyObject* dtype) {
  PyObject* array = nullptr;
  if (PyArray_Check(x))
    array = Py_NewRef(x);
  else if (PyArray_IsScalar(x, Generic) || PyLong_CheckExact(x) || PyList_Check(x) || PyTuple_Check(x))
    array = PyArray_FROM_O(x);
  const auto integral = [&](int number) {
    const Type* type = self.type(number);
    return type && is_integer(type->storage) ? type : nullptr;
  };
  const Type* type = array ? integral(PyArray_TYPE(reinterpret_cast<PyArrayObject*>(array))) : nullptr;
  if (type && dtype && dtype != Py_None) {
    PyArray_Descr* descriptor = nullptr;
    PyArray_DescrConverter(dtype, &descriptor);
    type = descriptor ? integral(descriptor->type_num) : nullptr;
    Py_XDECREF(descriptor);
  }
  PyErr_Clear();  // what is wrong with them is NumPy's to say
  Py_XDECREF(array);
  return type;
}

PyObject* integer_parameter(const Ufunc& self, int k, const Type& type, PyObject* given) {
  if (given == self.default_i64[k]) return Py_NewRef(given);
  PyObject* array = nullptr;
  if (PyLong_CheckExact(given)) {  // the usual case
    int overflow;
    const npy_int64 value = PyLong_AsLongLongAndOverflow(given, &overflow);
    if (!overflow && (!self.info.parameters[k].is_result || fits(value, type.storage))) return new_integer(value);
  }
  if (PyArray_Check(given) || PyArray_IsScalar(given, Generic) || PyFloat_Check(given) || PyList_Check(given) ||
      PyTuple_Check(given)) {
    array = PyArray_FROM_O(given);
  } else if (PyLong_Check(given)) {
    int overflow;
    PyLong_AsLongLongAndOverflow(given, &overflow);
    PyObject* far = overflow ? PyFloat_FromDouble(overflow * 0x1p100) : Py_NewRef(given);
    array = far ? PyArray_FROM_O(far) : nullptr;
    Py_XDECREF(far);
  }
  if (!array) {
    PyErr_Clear();
    return Py_NewRef(given);
  }
  const int number = PyArray_TYPE(reinterpret_cast<PyArrayObject*>(array));
  const Type* own = type_of(number);
  PyObject* result = nullptr;
  if (!is_real(number))
    result = Py_NewRef(given);
  else if (own && own->storage == Storage::uint64)
    result = as_integers<npy_uint64>(self, k, type, array, NPY_UINT64);
  else if (own && !is_integer(own->storage))
    result = as_integers<double>(self, k, type, array, NPY_DOUBLE);
  else
    result = as_integers<npy_int64>(self, k, type, array, NPY_INT64);
  Py_DECREF(array);
  return result;
}

}  // namespace halfwave
