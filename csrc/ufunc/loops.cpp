#include "loops.hpp"

#include <algorithm>
#include <utility>

#include "../execute.hpp"

namespace halfwave {
namespace {

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
    if (op_dtypes[k] && !self.is_parameter(k)) given[n++] = op_dtypes[k];
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
    if (!op_dtypes[k] || is_python_number(op_dtypes[k]) || self.is_parameter(k)) continue;
    const int own = op_dtypes[k]->type_num;
    if (self.type(own) || (!self.keeps_integers() && is_real(own))) continue;
    PyErr_Format(PyExc_TypeError, "%s: %s has dtype %s; supported are %s", self.name.c_str(), self.operand_name(k),
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
  for (int k = 0; k < self.operands(); ++k) dtypes[k] = dtype_class(self.number_of(k, type));
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
  for (int k = 0; k < self.data + self.parameters; ++k) {
    PyArray_DTypeMeta* given = op_dtypes[k];
    if (self.is_parameter(k) && given && !is_python_number(given) && !is_real(given->type_num)) {
      PyErr_Format(PyExc_TypeError,
                   "%s: %s has dtype %s; it must be a real number, or an array of float16, bfloat16, float32, float64 "
                   "or integers",
                   self.name.c_str(), self.operand_name(k), dtype_name(given).c_str());
      return -1;
    }
  }
  if (type->storage == Storage::bfloat16 && !self.has_bfloat16_loop) {
    if (!add_loop(ufunc, self, *type)) return -1;
    self.has_bfloat16_loop = true;
  }
  for (int k = 0; k < self.operands(); ++k) {
    PyArray_DTypeMeta* dtype = dtype_class(self.number_of(k, *type));
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

// The `types` attribute of a ufunc lists legacy loops only; ours are entered there for whoever looks. It has letters for
// NumPy's own dtypes, and none for bfloat16.
void list_types(PyUFuncObject* ufunc, const Ufunc& self) {
  char* listed = new char[std::size_t(self.operands()) * builtin_types().size()];
  int n = 0;
  for (const Type& type : builtin_types()) {
    if (!self.type(type.number)) continue;
    for (int k = 0; k < self.operands(); ++k) listed[n * self.operands() + k] = char(self.number_of(k, type));
    ++n;
  }
  ufunc->types = listed;
  ufunc->ntypes = n;
}

}  // namespace

bool add_loops(PyObject* ufunc, const Ufunc& self) {
  for (const Type& type : builtin_types())
    if (self.type(type.number) && !add_loop(ufunc, self, type)) return false;
  PyObject* pattern = PyTuple_New(self.operands());
  PyObject* promoter = PyCapsule_New(reinterpret_cast<void*>(promote), "numpy._ufunc_promoter", nullptr);
  if (!pattern || !promoter) return false;
  for (int k = 0; k < self.operands(); ++k) PyTuple_SET_ITEM(pattern, k, Py_NewRef(Py_None));
  const int status = PyUFunc_AddPromoter(ufunc, pattern, promoter);
  Py_DECREF(pattern);
  Py_DECREF(promoter);
  list_types(reinterpret_cast<PyUFuncObject*>(ufunc), self);
  return status == 0;
}

}  // namespace halfwave
