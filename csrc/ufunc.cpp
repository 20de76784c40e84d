#define HALFWAVE_IMPORTS_NUMPY
#include "ufunc.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>

#include "dispatch.hpp"
#include "execute.hpp"
#include "floating_point_state.hpp"
#include "large_memory.hpp"

namespace halfwave {
namespace {

std::atomic<bool> direct_calls{true};

struct Type {
  Storage storage;
  int number;  // NumPy's; that of bfloat16 is known as soon as somebody uses it
  int parameter_number;
};

constexpr Storage signed_storage(std::size_t size) {
  return size == 1 ? Storage::int8 : size == 2 ? Storage::int16 : size == 4 ? Storage::int32 : Storage::int64;
}
constexpr Storage unsigned_storage(std::size_t size) {
  return Storage(int(signed_storage(size)) - int(Storage::int8) + int(Storage::uint8));
}

// In ascending order, as NumPy looks for loops.
constexpr Type types[] = {{Storage::float16, NPY_HALF, NPY_FLOAT},
                          {Storage::float32, NPY_FLOAT, NPY_FLOAT},
                          {Storage::float64, NPY_DOUBLE, NPY_DOUBLE},
                          {signed_storage(sizeof(npy_byte)), NPY_BYTE, NPY_INT64},
                          {unsigned_storage(sizeof(npy_ubyte)), NPY_UBYTE, NPY_INT64},
                          {signed_storage(sizeof(npy_short)), NPY_SHORT, NPY_INT64},
                          {unsigned_storage(sizeof(npy_ushort)), NPY_USHORT, NPY_INT64},
                          {signed_storage(sizeof(npy_int)), NPY_INT, NPY_INT64},
                          {unsigned_storage(sizeof(npy_uint)), NPY_UINT, NPY_INT64},
                          {signed_storage(sizeof(npy_long)), NPY_LONG, NPY_INT64},
                          {unsigned_storage(sizeof(npy_ulong)), NPY_ULONG, NPY_INT64},
                          {signed_storage(sizeof(npy_longlong)), NPY_LONGLONG, NPY_INT64},
                          {unsigned_storage(sizeof(npy_ulonglong)), NPY_ULONGLONG, NPY_INT64}};
Type bfloat16{Storage::bfloat16, NPY_NOTYPE, NPY_FLOAT};

// The class of a dtype that has a number: a borrowed reference to an immortal object.
PyArray_DTypeMeta* dtype_class(int number) {
  PyArray_Descr* descriptor = PyArray_DescrFromType(number);
  PyArray_DTypeMeta* dtype = NPY_DTYPE(descriptor);
  Py_DECREF(descriptor);
  return dtype;
}

const char* name_in_module(PyTypeObject* type) {
  const char* last = std::strrchr(type->tp_name, '.');
  return last ? last + 1 : type->tp_name;
}

// Whether a dtype that NumPy has from elsewhere is the bfloat16 of ml_dtypes. We never import that package: whoever has
// such an array has done so.
bool is_bfloat16(int number) {
  if (bfloat16.number != NPY_NOTYPE) return number == bfloat16.number;
  PyArray_Descr* descriptor = PyArray_DescrFromType(number);
  if (!descriptor) {
    PyErr_Clear();
    return false;
  }
  PyObject* scalar = reinterpret_cast<PyObject*>(descriptor->typeobj);
  PyObject* module = PyObject_GetAttrString(scalar, "__module__");
  const bool found = module && PyUnicode_Check(module) && PyUnicode_CompareWithASCIIString(module, "ml_dtypes") == 0 &&
                     std::strcmp(name_in_module(descriptor->typeobj), "bfloat16") == 0 &&
                     PyDataType_ELSIZE(descriptor) == 2 && (descriptor->kind == 'V' || descriptor->kind == 'f');
  PyErr_Clear();
  Py_XDECREF(module);
  Py_DECREF(descriptor);
  if (found) bfloat16.number = number;
  return found;
}

const Type* type_of(int number) {
  for (const Type& type : types)
    if (type.number == number) return &type;
  return PyTypeNum_ISUSERDEF(number) && is_bfloat16(number) ? &bfloat16 : nullptr;
}

// What a ufunc of ours knows of itself; its address is in the ufunc's `data`.
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
  const Condition& condition() const { return from_output() ? info.from_output_domain : info.domain; }
  const Operation& operation() const { return current_instruction_set().rows[row][role]; }

  static Ufunc& of(PyObject* ufunc) { return *static_cast<Ufunc*>(reinterpret_cast<PyUFuncObject*>(ufunc)->data[0]); }
};

// ---- Loops and dtypes -------------------------------------------------------------------------------------------------

template <Storage storage>
int loop(PyArrayMethod_Context* context, char* const* operands, const npy_intp* dimensions, const npy_intp* strides,
         NpyAuxData*) {
  Call call(Ufunc::of(context->caller).operation(), storage);
  const int n = call.operation.operands();
  call.shape[0] = std::size_t(dimensions[0]);
  std::copy_n(strides, n, call.strides[0]);
  std::copy_n(operands, n, call.operands);
  execute(call);
  return 0;
}

template <std::size_t... storage>
PyArrayMethod_StridedLoop* loop_of(Storage wanted, std::index_sequence<storage...>) {
  constexpr PyArrayMethod_StridedLoop* loops[] = {loop<Storage(storage)>...};
  return loops[std::size_t(wanted)];
}

bool is_real(int number) { return PyTypeNum_ISBOOL(number) || type_of(number); }

const char* operand_name(const Ufunc& self, int k) {
  if (k >= self.data) return self.info.parameters[k - self.data].name;
  const bool backward = self.role != Role::forward;
  if (backward && k == 0) return "g";
  if (self.info.gated) return k == (backward ? 1 : 0) ? "gate" : "up";
  return self.from_output() ? "y" : "x";
}

// "numpy.dtype[float32]" of a dtype class is more than a message needs.
std::string dtype_name(PyArray_DTypeMeta* dtype) {
  if (PyTypeNum_ISUSERDEF(dtype->type_num)) return name_in_module(dtype->scalar_type);
  return name_in_module(reinterpret_cast<PyTypeObject*>(dtype));
}

bool is_python_number(PyArray_DTypeMeta* dtype) {
  return dtype == &PyArray_PyFloatDType || dtype == &PyArray_PyLongDType;
}

// The number of the dtype that all of these promote to, NPY_NOTYPE if there is none. Python's own numbers have a say
// among themselves only: NumPy would let a float make float32 of bfloat16.
int promoted(PyArray_DTypeMeta* const given[], int n) {
  PyArray_DTypeMeta* arrays[max_operands];
  int m = 0;
  for (int k = 0; k < n; ++k)
    if (!is_python_number(given[k])) arrays[m++] = given[k];
  if (m == 0)
    for (; m < n; ++m) arrays[m] = given[m];
  PyArray_DTypeMeta* common = m ? PyArray_PromoteDTypeSequence(m, arrays) : nullptr;
  if (!common) {
    PyErr_Clear();
    return NPY_NOTYPE;
  }
  const int number = common == &PyArray_PyFloatDType  ? int(NPY_DOUBLE)
                     : common == &PyArray_PyLongDType ? int(NPY_INTP)
                                                      : common->type_num;
  Py_DECREF(common);
  return number;
}

// The dtype that results from the data operands alone; nullptr with an error set if there is none.
const Type* result_type(const Ufunc& self, PyArray_DTypeMeta* const op_dtypes[], PyArray_DTypeMeta* const signature[]) {
  for (int k = self.data + self.parameters; k < self.operands(); ++k) {
    if (!signature[k]) continue;
    if (const Type* type = self.type(signature[k]->type_num)) return type;
    PyErr_Format(PyExc_TypeError, "%s: dtype %s is not supported; allowed are %s", self.name.c_str(),
                 dtype_name(signature[k]).c_str(), self.supported_dtypes());
    return nullptr;
  }
  PyArray_DTypeMeta* given[max_operands];
  int n = 0;
  for (int k = 0; k < self.data; ++k)
    if (op_dtypes[k]) given[n++] = op_dtypes[k];
  // A reduction knows the dtype of its second operand only.
  if (n == 0 && op_dtypes[self.data]) given[n++] = op_dtypes[self.data];
  const int number = promoted(given, n);

  if (const Type* type = self.type(number)) return type;
  // As np.exp promotes integers: to the smallest float that holds them.
  if (!self.keeps_integers()) {
    if (PyTypeNum_ISBOOL(number) || number == NPY_BYTE || number == NPY_UBYTE) return type_of(NPY_HALF);
    if (number == NPY_SHORT || number == NPY_USHORT) return type_of(NPY_FLOAT);
    if (PyTypeNum_ISINTEGER(number)) return type_of(NPY_DOUBLE);
  }
  for (int k = 0; k < self.data; ++k) {
    if (!op_dtypes[k] || is_python_number(op_dtypes[k])) continue;
    const int own = op_dtypes[k]->type_num;
    if (self.type(own) || (!self.keeps_integers() && is_real(own))) continue;
    PyErr_Format(PyExc_TypeError, "%s: %s has dtype %s; supported are %s", self.name.c_str(), operand_name(self, k),
                 dtype_name(op_dtypes[k]).c_str(), self.supported_dtypes());
    return nullptr;
  }
  std::string names;
  for (int k = 0; k < n; ++k) names += (k ? " and " : "") + dtype_name(given[k]);
  PyErr_Format(PyExc_TypeError, "%s: the dtypes of its operands, %s, have no common one among %s; convert one of them",
               self.name.c_str(), names.c_str(), self.supported_dtypes());
  return nullptr;
}

bool add_loop(PyObject* ufunc, const Ufunc& self, const Type& type) {
  PyArray_DTypeMeta* dtypes[max_operands];
  for (int k = 0; k < self.operands(); ++k)
    dtypes[k] = dtype_class(self.is_parameter(k) ? type.parameter_number : type.number);
  void* function = reinterpret_cast<void*>(loop_of(type.storage, std::make_index_sequence<storages>()));
  PyType_Slot slots[] = {{NPY_METH_strided_loop, function}, {NPY_METH_unaligned_strided_loop, function}, {0, nullptr}};
  PyArrayMethod_Spec spec{};
  spec.name = self.name.c_str();
  spec.nin = self.data + self.parameters;
  spec.nout = self.outputs;
  spec.casting = NPY_NO_CASTING;
  spec.flags = NPY_ARRAYMETHOD_FLAGS(NPY_METH_NO_FLOATINGPOINT_ERRORS | NPY_METH_SUPPORTS_UNALIGNED);
  spec.dtypes = dtypes;
  spec.slots = slots;
  return PyUFunc_AddLoopFromSpec(ufunc, &spec) == 0;
}

// NumPy calls this once for each new combination of dtypes that is not a loop itself. Parameters are converted to the
// type that is computed with and have no say in the result's.
int promote(PyObject* ufunc, PyArray_DTypeMeta* const op_dtypes[], PyArray_DTypeMeta* const signature[],
            PyArray_DTypeMeta* new_op_dtypes[]) {
  Ufunc& self = Ufunc::of(ufunc);
  const Type* type = result_type(self, op_dtypes, signature);
  if (!type) return -1;
  for (int k = self.data; k < self.data + self.parameters; ++k) {
    PyArray_DTypeMeta* given = op_dtypes[k];
    if (given && !is_python_number(given) && !is_real(given->type_num)) {
      PyErr_Format(PyExc_TypeError,
                   "%s: %s has dtype %s; it must be a real number, or an array of float16, bfloat16, float32, float64 "
                   "or integers",
                   self.name.c_str(), operand_name(self, k), dtype_name(given).c_str());
      return -1;
    }
  }
  if (type->storage == Storage::bfloat16 && !self.has_bfloat16_loop) {
    if (!add_loop(ufunc, self, *type)) return -1;
    self.has_bfloat16_loop = true;
  }
  for (int k = 0; k < self.operands(); ++k) {
    PyArray_DTypeMeta* dtype = dtype_class(self.is_parameter(k) ? type->parameter_number : type->number);
    if (signature[k] && signature[k] != dtype) {
      PyErr_Format(PyExc_TypeError, "%s: no loop for the requested signature; its loops are listed in %s.types",
                   self.name.c_str(), self.name.c_str());
      return -1;
    }
    new_op_dtypes[k] = dtype;
    Py_INCREF(dtype);
  }
  return 0;
}

bool add_loops(PyObject* ufunc, const Ufunc& self) {
  for (const Type& type : types)
    if (self.type(type.number) && !add_loop(ufunc, self, type)) return false;
  PyObject* pattern = PyTuple_New(self.operands());
  PyObject* promoter = PyCapsule_New(reinterpret_cast<void*>(promote), "numpy._ufunc_promoter", nullptr);
  if (!pattern || !promoter) return false;
  for (int k = 0; k < self.operands(); ++k) PyTuple_SET_ITEM(pattern, k, Py_NewRef(Py_None));
  const int status = PyUFunc_AddPromoter(ufunc, pattern, promoter);
  Py_DECREF(pattern);
  Py_DECREF(promoter);
  return status == 0;
}

// The `types` attribute of a ufunc lists legacy loops only; ours are entered there for whoever looks. It has letters for
// NumPy's own dtypes, and none for bfloat16.
void list_types(PyUFuncObject* ufunc, const Ufunc& self) {
  char* listed = new char[std::size_t(self.operands()) * std::size(types)];
  int n = 0;
  for (const Type& type : types) {
    if (!self.type(type.number)) continue;
    for (int k = 0; k < self.operands(); ++k)
      listed[n * self.operands() + k] = char(self.is_parameter(k) ? type.parameter_number : type.number);
    ++n;
  }
  ufunc->types = listed;
  ufunc->ntypes = n;
}

// ---- Calls ------------------------------------------------------------------------------------------------------------

bool is_number(PyObject* object) {
  return PyFloat_CheckExact(object) || PyLong_CheckExact(object) || PyBool_Check(object);
}

bool is_bfloat16_scalar(PyObject* object) {
  if (!PyArray_IsScalar(object, Generic) || PyArray_IsScalar(object, Number)) return false;
  PyArray_Descr* descriptor = PyArray_DescrFromScalar(object);
  const bool found = descriptor && type_of(descriptor->type_num) == &bfloat16;
  Py_XDECREF(descriptor);
  PyErr_Clear();
  return found;
}

// The value of a real scalar, Python's or NumPy's, 0-d arrays included; nothing for whatever else it is.
std::optional<double> scalar_value(PyObject* object) {
  if (PyFloat_CheckExact(object)) return PyFloat_AS_DOUBLE(object);
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

// Scalar parameters must lie in the function's domain; a from-output form looks at each element of arrays too.
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

union Value {
  float f32;
  double f64;
  npy_int64 i64;
};

// The value of a 0-d int64 array: what the parameters of integers have been converted to.
const npy_int64* integer_value(PyObject* object) {
  if (!PyArray_CheckExact(object)) return nullptr;
  auto* array = reinterpret_cast<PyArrayObject*>(object);
  if (PyArray_NDIM(array) != 0 || PyArray_TYPE(array) != NPY_INT64 || !PyArray_ISCARRAY_RO(array)) return nullptr;
  return static_cast<const npy_int64*>(PyArray_DATA(array));
}

// A scalar parameter in the type that is computed with; false where the conversion is for NumPy to do.
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

PyArrayObject* as_array(PyObject* object) { return reinterpret_cast<PyArrayObject*>(object); }

// The bytes that an array lies in.
struct Extent {
  const char* low;
  const char* high;
  explicit Extent(PyArrayObject* a) : low(PyArray_BYTES(a)), high(low + PyArray_ITEMSIZE(a)) {
    for (int d = 0; d < PyArray_NDIM(a); ++d) {
      const npy_intp last = (PyArray_DIM(a, d) - 1) * PyArray_STRIDE(a, d);
      (last < 0 ? low : high) += last;
    }
  }
  bool overlaps(const Extent& other) const { return low < other.high && other.low < high; }
};

bool same_layout(PyArrayObject* a, PyArrayObject* b) {
  return PyArray_BYTES(a) == PyArray_BYTES(b) && PyArray_NDIM(a) == PyArray_NDIM(b) &&
         PyArray_CompareLists(PyArray_STRIDES(a), PyArray_STRIDES(b), PyArray_NDIM(a));
}

// Whether the axes are in C order, as far as this array has a say in it: then NumPy allocates the result so.
bool in_c_order(PyArrayObject* a) {
  npy_intp outer = NPY_MAX_INTP;
  for (int d = 0; d < PyArray_NDIM(a); ++d) {
    const npy_intp stride = PyArray_STRIDE(a, d);
    if (PyArray_DIM(a, d) == 1 || stride == 0) continue;
    if (stride < 0 || stride > outer) return false;
    outer = stride;
  }
  return true;
}

// Whether each element has memory of its own. May say no where it has.
bool has_distinct_elements(PyArrayObject* a) {
  npy_intp inner = PyArray_ITEMSIZE(a);
  bool used[max_dimensions] = {};
  for (int round = 0; round < PyArray_NDIM(a); ++round) {
    int smallest = -1;
    for (int d = 0; d < PyArray_NDIM(a); ++d)
      if (!used[d] && (smallest < 0 || std::abs(PyArray_STRIDE(a, d)) < std::abs(PyArray_STRIDE(a, smallest))))
        smallest = d;
    used[smallest] = true;
    if (PyArray_DIM(a, smallest) == 1) continue;
    const npy_intp stride = std::abs(PyArray_STRIDE(a, smallest));
    if (stride < inner) return false;
    inner = stride * PyArray_DIM(a, smallest);
  }
  return true;
}

void execute_unlocked(Call& call, std::size_t elements) {
  constexpr std::size_t worth_releasing_the_gil = 8192;
  PyThreadState* thread = elements >= worth_releasing_the_gil ? PyEval_SaveThread() : nullptr;
  execute(call);
  if (thread) PyEval_RestoreThread(thread);
}

// ---- Direct calls: without NumPy's machinery, where it would do nothing but call the loop --------------------------------

// A call on arrays of the right dtypes, and scalars for parameters. Where it is not of this kind, or NumPy has to decide
// something (how to lay out the result, a copy because of an overlap, an error), it is left to NumPy.
class DirectCall {
 public:
  DirectCall(const Ufunc& self, PyObject* const* operands, PyObject* where)
      : self_(self), inputs_(operands), mask_(where == Py_True ? nullptr : where) {}

  // outputs: nullptr or None where they are to be allocated. Returns the results, new references; false without an error
  // where the call is left to NumPy.
  bool operator()(PyObject* const* outputs, PyObject** results) {
    if (!read_inputs() || !check_outputs(outputs)) return false;
    const bool simple = contiguous_ && !mask_;
    Call call(self_.operation(), type_->storage);
    for (int k = 0; k < self_.outputs; ++k) {
      results[k] = given_[k] ? Py_NewRef(outputs[k]) : new_result(dimensions_, shape_, type_->number);
      if (!results[k]) {
        while (k--) Py_DECREF(results[k]);
        return false;
      }
    }
    simple ? describe_flat(call, results) : describe(call, results);
    execute_unlocked(call, elements_);
    return true;
  }

 private:
  // An operand that NumPy would pass on to the loop as it is.
  static bool is_plain(PyObject* object, int number) {
    return PyArray_CheckExact(object) && PyArray_TYPE(as_array(object)) == number &&
           PyArray_ISBEHAVED_RO(as_array(object)) && PyArray_NDIM(as_array(object)) <= max_dimensions;
  }

  bool read_inputs() {
    if (!PyArray_CheckExact(inputs_[0])) return false;
    type_ = self_.type(PyArray_TYPE(as_array(inputs_[0])));
    if (!type_) return false;
    for (int k = 0; k < self_.data; ++k)
      if (!is_plain(inputs_[k], type_->number) || !broadcast(as_array(inputs_[k]))) return false;
    for (int k = self_.data; k < self_.data + self_.parameters; ++k) {
      Value& value = values_[k - self_.data];
      if (PyArray_CheckExact(inputs_[k]) && PyArray_NDIM(as_array(inputs_[k])) > 0) {
        if (!is_plain(inputs_[k], type_->parameter_number) || !broadcast(as_array(inputs_[k]))) return false;
        is_array_[k] = true;
        contiguous_ = false;
      } else if (!convert_parameter(*type_, inputs_[k], value)) {
        return false;
      }
    }
    if (mask_ && (!is_plain(mask_, NPY_BOOL) || !broadcast(as_array(mask_)))) return false;
    return dimensions_ > 0;
  }

  // Widens the shape of the call by that of one more array; false where they do not fit.
  bool broadcast(PyArrayObject* a) {
    const int n = PyArray_NDIM(a);
    const npy_intp* shape = PyArray_DIMS(a);
    if (dimensions_ == n && PyArray_CompareLists(shape, shape_, n)) {
      contiguous_ &= bool(PyArray_IS_C_CONTIGUOUS(a));
      return true;
    }
    if (dimensions_ >= 0) contiguous_ = false;
    if (dimensions_ < 0) {
      contiguous_ = PyArray_IS_C_CONTIGUOUS(a);
      dimensions_ = 0;
    }
    for (; dimensions_ < n; ++dimensions_) {
      std::copy_backward(shape_, shape_ + dimensions_, shape_ + dimensions_ + 1);
      shape_[0] = 1;
    }
    for (int d = 1; d <= n; ++d) {
      npy_intp& length = shape_[dimensions_ - d];
      if (length == 1)
        length = shape[n - d];
      else if (shape[n - d] != 1 && shape[n - d] != length)
        return false;
    }
    return true;
  }

  bool check_outputs(PyObject* const* outputs) {
    elements_ = std::size_t(PyArray_MultiplyList(shape_, dimensions_));
    for (int k = 0; k < self_.outputs; ++k) {
      given_[k] = outputs && outputs[k] && outputs[k] != Py_None;
      if (!given_[k]) continue;
      PyArrayObject* out = as_array(outputs[k]);
      if (!is_plain(outputs[k], type_->number) || !PyArray_ISWRITEABLE(out) || PyArray_NDIM(out) != dimensions_ ||
          !PyArray_CompareLists(PyArray_DIMS(out), shape_, dimensions_))
        return false;
      if (!PyArray_IS_C_CONTIGUOUS(out)) {
        contiguous_ = false;
        if (!has_distinct_elements(out)) return false;
      }
      if (elements_ && !is_apart(outputs, k)) return false;
    }
    const bool all_given = std::all_of(given_, given_ + self_.outputs, [](bool given) { return given; });
    if (mask_ && !all_given) return false;
    return all_given || contiguous_ || gives_c_order();
  }

  bool is_apart(PyObject* const* outputs, int output) const {
    PyArrayObject* out = as_array(outputs[output]);
    const Extent extent(out);
    for (int k = 0; k < self_.data + self_.parameters; ++k) {
      if (k >= self_.data && !is_array_[k]) continue;
      PyArrayObject* in = as_array(inputs_[k]);
      const bool same = same_layout(in, out) && PyArray_ITEMSIZE(in) == PyArray_ITEMSIZE(out);
      if (!same && extent.overlaps(Extent(in))) return false;
    }
    if (mask_ && extent.overlaps(Extent(as_array(mask_)))) return false;
    for (int k = 0; k < output; ++k)
      if (given_[k] && extent.overlaps(Extent(as_array(outputs[k])))) return false;
    return true;
  }

  bool gives_c_order() const {
    for (int k = 0; k < self_.data + self_.parameters; ++k)
      if ((k < self_.data || is_array_[k]) && !in_c_order(as_array(inputs_[k]))) return false;
    return std::none_of(given_, given_ + self_.outputs, [](bool given) { return given; });
  }

  void describe_flat(Call& call, PyObject* const* results) {
    call.shape[0] = elements_;
    const int first_output = self_.data + self_.parameters;
    for (int k = 0; k < first_output + self_.outputs; ++k) {
      const bool parameter = k >= self_.data && k < first_output;
      call.operands[k] = parameter ? reinterpret_cast<char*>(&values_[k - self_.data])
                                   : PyArray_BYTES(as_array(k < self_.data ? inputs_[k] : results[k - first_output]));
      call.strides[0][k] = parameter ? 0 : PyArray_ITEMSIZE(as_array(inputs_[0]));
    }
  }

  void describe(Call& call, PyObject* const* results) {
    call.dimensions = dimensions_;
    std::copy_n(shape_, dimensions_, call.shape);
    const int first_output = self_.data + self_.parameters;
    for (int k = 0; k < first_output + self_.outputs; ++k) {
      const bool scalar = k >= self_.data && k < first_output && !is_array_[k];
      if (scalar)
        add_scalar(call, k, values_[k - self_.data]);
      else
        add_array(call, k, as_array(k < first_output ? inputs_[k] : results[k - first_output]));
    }
    call.masked = mask_ != nullptr;
    if (mask_) add_array(call, first_output + self_.outputs, as_array(mask_));
  }

  void add_scalar(Call& call, int k, Value& value) const {
    call.operands[k] = reinterpret_cast<char*>(&value);
    for (int d = 0; d < dimensions_; ++d) call.strides[d][k] = 0;
  }

  void add_array(Call& call, int k, PyArrayObject* a) const {
    call.operands[k] = PyArray_BYTES(a);
    const int missing = dimensions_ - PyArray_NDIM(a);
    for (int d = 0; d < dimensions_; ++d)
      call.strides[d][k] = d < missing || PyArray_DIM(a, d - missing) == 1 ? 0 : PyArray_STRIDE(a, d - missing);
  }

  const Ufunc& self_;
  PyObject* const* inputs_;
  PyObject* mask_;
  const Type* type_ = nullptr;
  Value values_[max_parameters];
  bool is_array_[max_operands] = {};
  bool given_[max_outputs] = {};
  bool contiguous_ = true;  // every array operand has the shape of the call and is C-contiguous
  int dimensions_ = -1;
  npy_intp shape_[max_dimensions];
  std::size_t elements_ = 0;
};

// `positional` are the first `count` outputs, `out` is the keyword's value; either may be missing.
PyObject* call_directly(const Ufunc& self, PyObject* const* operands, PyObject* const* positional, Py_ssize_t count,
                        PyObject* out, PyObject* where) {
  PyObject* outputs[max_outputs] = {};
  if (positional) {
    std::copy_n(positional, count, outputs);
  } else if (out && PyTuple_CheckExact(out)) {
    if (PyTuple_GET_SIZE(out) != self.outputs) return nullptr;
    for (int k = 0; k < self.outputs; ++k) outputs[k] = PyTuple_GET_ITEM(out, k);
  } else if (out && out != Py_None) {
    if (self.outputs != 1) return nullptr;
    outputs[0] = out;
  }
  PyObject* results[max_outputs] = {};
  if (!DirectCall(self, operands, where)(outputs, results)) return nullptr;
  if (self.outputs == 1) return results[0];
  PyObject* tuple = PyTuple_New(self.outputs);
  for (int k = 0; k < self.outputs; ++k) {
    if (tuple)
      PyTuple_SET_ITEM(tuple, k, results[k]);
    else
      Py_DECREF(results[k]);
  }
  return tuple;
}

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

void missing_operand(const Ufunc& self, Py_ssize_t given) {
  std::string names;
  for (int k = 0; k < self.data; ++k) names += (k ? ", " : "") + std::string(operand_name(self, k));
  PyErr_Format(PyExc_TypeError, "%s() needs %d positional argument%s (%s), %zd given", self.name.c_str(), self.data,
               self.data == 1 ? "" : "s", names.c_str(), given);
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

// ---- Parameters of integers -------------------------------------------------------------------------------------------

struct Owned {
  PyObject* object = nullptr;
  ~Owned() { Py_XDECREF(object); }
};

// The type of a loop for integers if one will take these data, which are integers, else nullptr. `dtype` is that keyword's
// value.
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

// A parameter for data of integers, in int64: a new reference, or nullptr with an error set. What is not real, or is not
// an array, is left as it is, for NumPy to refuse or to pass on.
PyObject* integer_parameter(const Ufunc& self, int k, const Type& type, PyObject* given) {
  if (given == self.default_i64[k]) return Py_NewRef(given);
  PyObject* array = nullptr;
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
  if (plain && direct_calls.load(std::memory_order_relaxed)) {
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

bool set_direct_calls(bool enabled) { return direct_calls.exchange(enabled); }

PyObject* make_ufunc(const Info& info, int row, Role role, const std::string& name) {
  const Operation& op = current_instruction_set().rows[row][role];
  auto* self = new Ufunc{.info = info,
                         .row = row,
                         .role = role,
                         .name = name,
                         .data = op.data,
                         .parameters = op.parameters,
                         .outputs = op.outputs};
  PyObject* ufunc = PyUFunc_FromFuncAndData(nullptr, &self->address, nullptr, 0, self->data + self->parameters,
                                            self->outputs, PyUFunc_None, self->name.c_str(), nullptr, 0);
  if (!ufunc || !make_defaults(*self) || !add_loops(ufunc, *self) || !wrap_calls(ufunc, *self)) return nullptr;
  list_types(reinterpret_cast<PyUFuncObject*>(ufunc), *self);
  return ufunc;
}

}  // namespace halfwave
