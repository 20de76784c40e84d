#include "dtypes.hpp"

#include <cstring>

namespace halfwave {
namespace {

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

const char* name_in_module(PyTypeObject* type) {
  const char* last = std::strrchr(type->tp_name, '.');
  return last ? last + 1 : type->tp_name;
}

}  // namespace

std::span<const Type> builtin_types() { return types; }

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

bool is_real(int number) { return PyTypeNum_ISBOOL(number) || type_of(number); }

PyArray_DTypeMeta* dtype_class(int number) {
  PyArray_Descr* descriptor = PyArray_DescrFromType(number);
  PyArray_DTypeMeta* dtype = NPY_DTYPE(descriptor);
  Py_DECREF(descriptor);
  return dtype;
}

std::string dtype_name(PyArray_DTypeMeta* dtype) {
  if (PyTypeNum_ISUSERDEF(dtype->type_num)) return name_in_module(dtype->scalar_type);
  return name_in_module(reinterpret_cast<PyTypeObject*>(dtype));
}

}  // namespace halfwave
