// The Python module: the catalogue as data, its ufuncs, and what the Python side needs besides.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cstdlib>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "catalogue.hpp"
#include "dispatch.hpp"
#include "epilogue.hpp"
#include "execute.hpp"
#include "floating_point_state.hpp"
#include "masks.hpp"
#include "reduce.hpp"
#include "threads.hpp"
#include "ufunc/direct_call.hpp"
#include "ufunc/dtypes.hpp"
#include "ufunc/ufunc.hpp"

namespace py = pybind11;

namespace halfwave {
namespace {

struct RoleName {
  Role role;
  const char* key;
  const char* suffix;
};
constexpr RoleName role_names[] = {
    {Role::forward, "forward", ""},
    {Role::backward, "backward", "_backward"},
    {Role::backward_from_output, "backward_from_output", "_backward_from_output"},
    {Role::backward_gate, "backward_gate", "_backward_gate"},
    {Role::backward_up, "backward_up", "_backward_up"},
    {Role::second_derivative, "second_derivative", "_second_derivative"},
};
// Made when first asked for.
constexpr RoleName roles_of_sums[] = {
    {Role::forward_with_bias, "forward_with_bias", "_with_bias"},
    {Role::forward_with_residual, "forward_with_residual", "_with_residual"},
    {Role::backward_with_bias, "backward_with_bias", "_backward_with_bias"},
    {Role::backward_with_residual, "backward_with_residual", "_backward_with_residual"},
};

py::dict bound(const Bound& b) {
  py::dict d;
  d["float16"] = 0.5;
  d["bfloat16"] = 0.5;
  d["float32"] = b.f32;
  d["float64"] = b.f64;
  return d;
}

py::object text(const char* s) { return s ? py::object(py::str(s)) : py::object(py::none()); }

py::dict describe(const Info& info, int row) {
  py::dict d;
  d["name"] = info.name;
  d["index"] = row;
  d["title"] = info.title;
  d["formula"] = info.formula;
  d["derivative"] = info.derivative;
  d["curvature"] = info.curvature;
  d["kink"] = text(info.kink);
  d["source"] = info.source;
  d["note"] = text(info.note);
  d["gated"] = info.gated;
  d["keeps_integers"] = info.keeps_integers;
  d["from_output"] = text(info.from_output);
  d["domain"] = text(info.domain.text);
  d["from_output_domain"] = text(info.from_output_domain.text);
  d["mask"] = text(info.mask);
  py::list parameters;
  for (int k = 0; k < info.parameter_count(); ++k) {
    const Parameter& p = info.parameters[k];
    parameters.append(
        py::make_tuple(p.name, p.required ? py::object(py::none()) : py::object(py::float_(p.value)), p.meaning));
  }
  d["parameters"] = parameters;
  py::dict bounds;
  bounds["forward"] = bound(info.forward);
  bounds["backward"] = bound(info.backward);
  bounds["backward_gate"] = bound(info.backward);
  bounds["backward_up"] = bound(info.backward);
  bounds["backward_from_output"] = bound(info.backward_from_output);
  bounds["with_mask"] = bound(info.forward);
  bounds["backward_from_mask"] = bound(info.backward);
  bounds["second_derivative"] = bound(info.second_derivative);
  d["bounds"] = bounds;

  py::dict ufuncs;
  const Row& operations = current_instruction_set().rows[row];
  for (const RoleName& r : role_names) {
    const Operation& op = operations[r.role];
    if (!op) continue;
    PyObject* ufunc = make_ufunc(info, row, r.role, std::string(info.name) + r.suffix);
    if (!ufunc) throw py::error_already_set();
    ufuncs[r.key] = py::reinterpret_steal<py::object>(ufunc);
  }
  d["ufuncs"] = ufuncs;
  d["has_parameter_terms"] = bool(operations[Role::parameter_terms]);
  return d;
}

// The ufunc of activation `row` on a sum, by its key in roles_of_sums.
py::object make_ufunc_of_sum(int row, const std::string& key) {
  const Info& info = catalogue()[std::size_t(row)];
  for (const RoleName& r : roles_of_sums) {
    if (key != r.key) continue;
    PyObject* ufunc = make_ufunc(info, row, r.role, std::string(info.name) + r.suffix);
    if (!ufunc) throw py::error_already_set();
    return py::reinterpret_steal<py::object>(ufunc);
  }
  throw py::key_error(key);
}

py::list make_catalogue() {
  py::list list;
  int row = 0;
  for (const Info& info : catalogue()) list.append(describe(info, row++));
  return list;
}

std::vector<std::string> instruction_set_names() {
  std::vector<std::string> names;
  for (const InstructionSet* set : supported_instruction_sets()) names.emplace_back(set->name);
  return names;
}

template <class T>
T* data_of(PyObject* array) {
  return static_cast<T*>(PyArray_DATA(reinterpret_cast<PyArrayObject*>(array)));
}

// Output `output` of an operation on `operands`, summed over the axes where `summed` is true. The operands are arrays of
// one shape and of one dtype, float32 or float64; the sums are float64.
py::object sum_outputs(int row, Role role, const std::vector<py::object>& operands, const std::vector<bool>& summed,
                       int output) {
  const Operation& op = current_instruction_set().rows[row][role];
  std::vector<PyArrayObject*> arrays;
  for (const py::object& o : operands) arrays.push_back(reinterpret_cast<PyArrayObject*>(o.ptr()));
  std::vector<npy_intp> shape;
  for (std::size_t axis = 0; axis < summed.size(); ++axis)
    if (!summed[axis]) shape.push_back(PyArray_DIM(arrays[0], int(axis)));
  py::object total = py::reinterpret_steal<py::object>(PyArray_SimpleNew(int(shape.size()), shape.data(), NPY_DOUBLE));
  if (!total) throw py::error_already_set();
  const Storage storage = PyArray_TYPE(arrays[0]) == NPY_DOUBLE ? Storage::float64 : Storage::float32;
  auto* data = static_cast<double*>(PyArray_DATA(reinterpret_cast<PyArrayObject*>(total.ptr())));
  {
    py::gil_scoped_release release;
    sum_terms(op, storage, arrays, summed, output, data);
  }
  return total;
}

std::vector<PyObject*> pointers_to(const std::vector<py::object>& objects) {
  std::vector<PyObject*> pointers;
  for (const py::object& o : objects) pointers.push_back(o.ptr());
  return pointers;
}

// Raises ValueError unless the parameters of a forward ufunc are in its domain.
void check_domain(const py::object& ufunc, const std::vector<py::object>& parameters) {
  if (!check_parameters(ufunc.ptr(), pointers_to(parameters).data())) throw py::error_already_set();
}

py::object sum_parameter_terms(int row, const std::vector<py::object>& operands, const std::vector<bool>& summed,
                               int output) {
  return sum_outputs(row, Role::parameter_terms, operands, summed, output);
}

py::object sum_forward(int row, const std::vector<py::object>& operands, const std::vector<bool>& summed) {
  return sum_outputs(row, Role::forward, operands, summed, 0);
}

// Counts a batch of a layer in, and returns how many outputs were 0. `derivative` and `y` are both float32 or both
// float64, of one shape, with units side by side; `passed` is int64 of shape (2, units), `mean` and `squares` float64. The
// monitor calls it in every step of a training, so it is made by hand: pybind11 takes as long as a small batch.
PyObject* observe(PyObject*, PyObject* const* arguments, Py_ssize_t) {
  auto* derivative = reinterpret_cast<PyArrayObject*>(arguments[0]);
  auto* y = reinterpret_cast<PyArrayObject*>(arguments[1]);
  const double saturation = PyFloat_AsDouble(arguments[2]);
  const std::int64_t examples = PyLong_AsLongLong(arguments[3]);
  if (PyErr_Occurred()) return nullptr;
  const auto rows = std::size_t(PyArray_DIM(y, 0)), units = std::size_t(PyArray_DIM(y, 1));
  const Batch batch{PyArray_BYTES(derivative),
                    PyArray_BYTES(y),
                    PyArray_STRIDE(derivative, 0),
                    PyArray_STRIDE(y, 0),
                    rows,
                    units,
                    saturation};
  auto* counts = data_of<std::int64_t>(arguments[4]);
  Observed seen{examples, counts, counts + units, data_of<double>(arguments[5]), data_of<double>(arguments[6])};
  const InstructionSet& set = current_instruction_set();
  return PyLong_FromLongLong((PyArray_TYPE(y) == NPY_FLOAT ? set.observe_f32 : set.observe_f64)(batch, seen));
}

// Sums in float32, rounded to the nearest whatever the caller's rounding mode.
py::object round_sums(const py::object& sums) {
  auto* from = reinterpret_cast<PyArrayObject*>(sums.ptr());
  py::object rounded =
      py::reinterpret_steal<py::object>(PyArray_SimpleNew(PyArray_NDIM(from), PyArray_DIMS(from), NPY_FLOAT));
  if (!rounded) throw py::error_already_set();
  const auto* wide = data_of<double>(sums.ptr());
  const FloatingPointState state;
  std::transform(wide, wide + PyArray_SIZE(from), data_of<float>(rounded.ptr()), [](double sum) { return float(sum); });
  return rounded;
}

// The summed axis flags of an array of `dimensions` axes of which one is kept.
std::vector<bool> all_but(int dimensions, int kept) {
  std::vector<bool> summed(std::size_t(dimensions), true);
  summed[std::size_t(kept)] = false;
  return summed;
}

// Carries out an operation on `operands`, the inputs and the output, all of them arrays that broadcast to the output's
// shape and of the dtypes of its loop, and sums the results over all axes but one. Returns the sums, in float64.
py::object run_and_sum(int row, const std::string& key, const std::vector<py::object>& operands, int axis) {
  const Role role = key == "backward_with_bias" ? Role::backward_with_bias : Role::backward_from_output;
  auto* out = reinterpret_cast<PyArrayObject*>(operands.back().ptr());
  Call call(current_instruction_set().rows[row][role], type_of(PyArray_TYPE(out))->storage);
  call.dimensions = PyArray_NDIM(out);
  for (int d = 0; d < call.dimensions; ++d) call.shape[d] = std::size_t(PyArray_DIM(out, d));
  for (std::size_t k = 0; k < operands.size(); ++k) {
    auto* array = reinterpret_cast<PyArrayObject*>(operands[k].ptr());
    const int missing = call.dimensions - PyArray_NDIM(array);
    call.operands[k] = PyArray_BYTES(array);
    for (int d = 0; d < call.dimensions; ++d)
      call.strides[d][k] = d < missing || PyArray_DIM(array, d - missing) == 1 ? 0 : PyArray_STRIDE(array, d - missing);
  }
  npy_intp length = PyArray_DIM(out, axis);
  py::object sums = py::reinterpret_steal<py::object>(PyArray_SimpleNew(1, &length, NPY_DOUBLE));
  if (!sums) throw py::error_already_set();
  auto* totals = data_of<double>(sums.ptr());
  {
    py::gil_scoped_release release;
    execute_and_sum(call, all_but(call.dimensions, axis), totals);
  }
  return sums;
}

// As observe, made by hand for small arrays. A function is a tuple: the row, whether from the output, the parameters.
PyObject* bias_fits_to(PyObject*, PyObject* const* arguments, Py_ssize_t) {
  return Py_NewRef(bias_fits(arguments[0], arguments[1]) ? Py_True : Py_False);
}

PyObject* backward_with_bias(PyObject*, PyObject* const* arguments, Py_ssize_t) {
  PyObject* given = arguments[0];
  const BackwardOfBias function{int(PyLong_AsLong(PyTuple_GET_ITEM(given, 0))), PyTuple_GET_ITEM(given, 1) == Py_True,
                                PyTuple_GET_ITEM(given, 2)};
  const auto or_null = [](PyObject* object) { return object == Py_None ? nullptr : object; };
  try {
    return backward_with_bias_directly(function, arguments[1], arguments[2], or_null(arguments[3]),
                                       or_null(arguments[4]));
  } catch (const std::bad_alloc&) {
    return PyErr_NoMemory();
  }
}

PyCFunction fast(PyObject* (*function)(PyObject*, PyObject* const*, Py_ssize_t)) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(function));
}

PyMethodDef methods[] = {
    {"bias_fits", fast(bias_fits_to), METH_FASTCALL, "bias_fits(x: object, bias: object) -> bool"},
    {"backward_with_bias_directly", fast(backward_with_bias), METH_FASTCALL,
     "backward_with_bias_directly(function: tuple[int, bool, object], g: object, x: object, bias: object, out: object) "
     "-> tuple[object, object] | None"},
    {"observe", fast(observe), METH_FASTCALL,
     "observe(derivative: object, y: object, saturation: float, examples: int, passed: object, mean: object, "
     "squares: object) -> int"},
    {nullptr, nullptr, 0, nullptr}};

py::object owned(PyObject* result) {
  if (!result) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(result);
}

PyObject* or_null(const py::object& object) { return object.is_none() ? nullptr : object.ptr(); }

void read_thread_count() {
  const char* given = std::getenv("HALFWAVE_NUM_THREADS");
  if (!given || !*given) return;
  char* end = nullptr;
  const long n = std::strtol(given, &end, 10);
  if (*end || n < 1 || n > 65535)
    throw py::import_error("HALFWAVE_NUM_THREADS must be an integer from 1 to 65535, got '" + std::string(given) + "'");
  set_thread_count(int(n));
}

}  // namespace

// For threadpoolctl, which looks for functions with C's calling convention.
extern "C" {
#if defined(_WIN32)
#define HALFWAVE_EXPORT __declspec(dllexport)
#else
#define HALFWAVE_EXPORT __attribute__((visibility("default")))
#endif
HALFWAVE_EXPORT int halfwave_get_num_threads() { return thread_count(); }
HALFWAVE_EXPORT void halfwave_set_num_threads(int n) { set_thread_count(n < 1 ? 1 : n); }
}

PYBIND11_MODULE(_core, m) {
  if (!import_numpy()) throw py::error_already_set();
  read_thread_count();
  if (const char* name = std::getenv("HALFWAVE_ISA"); name && *name) {
    try {
      use_instruction_set(name, "HALFWAVE_ISA");
    } catch (const std::invalid_argument& error) {
      throw py::import_error(error.what());
    }
  }
  m.attr("__version__") = HALFWAVE_VERSION;
  m.attr("catalogue") = make_catalogue();
  m.def("instruction_sets", &instruction_set_names);
  m.def("instruction_set", [] { return current_instruction_set().name; });
  m.def("use_instruction_set", [](const std::string& name) { use_instruction_set(name, "instruction set"); });
  m.def("make_ufunc_of_sum", &make_ufunc_of_sum);
  m.def("check_domain", &check_domain);
  m.def("get_num_threads", &thread_count);
  m.def("set_num_threads", &set_thread_count);
  m.def("set_streaming_size", &set_streaming_size);
  m.def("set_worth_waking", &set_worth_waking);
  m.def("set_direct_calls", &set_direct_calls);
  using Objects = std::vector<py::object>;
  m.def("forward_with_mask",
        [](int row, const py::object& x, const py::object& mask, const Objects& parameters, const py::object& y) {
          return owned(forward_with_mask(row, x.ptr(), mask.ptr(), pointers_to(parameters).data(), or_null(y)));
        });
  m.def("backward_from_mask",
        [](int row, const py::object& g, const py::object& mask, const Objects& parameters, const py::object& dx) {
          return owned(backward_from_mask(row, g.ptr(), mask.ptr(), pointers_to(parameters).data(), or_null(dx)));
        });
  m.def("forward_with_mask_directly",
        [](int row, const py::object& x, const Objects& parameters, const py::object& out) {
          return owned(forward_with_mask_directly(row, x.ptr(), pointers_to(parameters).data(), out.ptr()));
        });
  m.def("backward_from_mask_directly", [](int row, const py::object& g, const py::object& mask,
                                          const Objects& parameters, const py::object& out) {
    return owned(backward_from_mask_directly(row, g.ptr(), mask.ptr(), pointers_to(parameters).data(), out.ptr()));
  });
  if (PyModule_AddFunctions(m.ptr(), methods) < 0) throw py::error_already_set();
  m.def("sum_parameter_terms", &sum_parameter_terms);
  m.def("sum_forward", &sum_forward);
  m.def("run_and_sum", &run_and_sum);
  m.def("round_sums", &round_sums);
}

}  // namespace halfwave
