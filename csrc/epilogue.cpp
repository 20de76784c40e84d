#include "epilogue.hpp"

#include <algorithm>
#include <vector>

#include "dispatch.hpp"
#include "execute.hpp"
#include "floating_point_state.hpp"
#include "reduce.hpp"
#include "ufunc/dtypes.hpp"
#include "ufunc/parameters.hpp"

namespace halfwave {
namespace {

bool is_plain(PyObject* object) { return PyArray_CheckExact(object) && PyArray_ISBEHAVED_RO(as_array(object)); }

bool same_shape(PyArrayObject* a, PyArrayObject* b) {
  return PyArray_NDIM(a) == PyArray_NDIM(b) && PyArray_CompareLists(PyArray_DIMS(a), PyArray_DIMS(b), PyArray_NDIM(a));
}

// Of contiguous arrays.
bool overlap(PyArrayObject* a, PyArrayObject* b) {
  const char *first = PyArray_BYTES(a), *second = PyArray_BYTES(b);
  return first < second + PyArray_NBYTES(b) && second < first + PyArray_NBYTES(a);
}

class WithoutGil {
 public:
  explicit WithoutGil(bool wanted) : thread_(wanted ? PyEval_SaveThread() : nullptr) {}
  ~WithoutGil() {
    if (thread_) PyEval_RestoreThread(thread_);
  }
  WithoutGil(const WithoutGil&) = delete;
  WithoutGil& operator=(const WithoutGil&) = delete;

 private:
  PyThreadState* thread_;
};

class Backward {
 public:
  Backward(const BackwardOfBias& function, PyObject* g, PyObject* x, PyObject* bias, PyObject* out)
      : function_(function), inputs_{g, x, bias}, count_(bias ? 3 : 2), out_(out) {}

  bool is_simple() {
    if (!is_plain(inputs_[1])) return false;
    PyArrayObject* x = as_array(inputs_[1]);
    const int number = PyArray_TYPE(x);
    if (number != NPY_FLOAT && number != NPY_DOUBLE) return false;
    if (!is_contiguous_like_x(inputs_[0])) return false;
    if (PyArray_NDIM(x) == 0 || !PyArray_IS_C_CONTIGUOUS(x)) return false;
    if (count_ == 3 && !bias_fits(inputs_[1], inputs_[2])) return false;
    if (out_ && !serves_as_result()) return false;
    type_ = type_of(number);
    const Py_ssize_t parameters = PyTuple_GET_SIZE(function_.parameters);
    for (Py_ssize_t k = 0; k < parameters; ++k)
      if (!convert_parameter(*type_, PyTuple_GET_ITEM(function_.parameters, k), values_[k])) return false;
    return true;
  }

  PyObject* run() {
    PyArrayObject* x = as_array(inputs_[1]);
    const int last = PyArray_NDIM(x) - 1;
    npy_intp columns = PyArray_DIM(x, last);
    PyObject* dx = out_ ? Py_NewRef(out_) : PyArray_SimpleNew(last + 1, PyArray_DIMS(x), type_->number);
    PyObject* sums = dx ? PyArray_SimpleNew(1, &columns, type_->number) : nullptr;
    PyObject* results = sums ? PyTuple_Pack(2, dx, sums) : nullptr;
    Py_XDECREF(sums);
    Py_XDECREF(dx);
    if (results) compute(as_array(dx), as_array(sums));
    return results;
  }

 private:
  bool is_contiguous_like_x(PyObject* object) const {
    if (!is_plain(object)) return false;
    PyArrayObject *a = as_array(object), *x = as_array(inputs_[1]);
    return PyArray_TYPE(a) == PyArray_TYPE(x) && PyArray_IS_C_CONTIGUOUS(a) && same_shape(a, x);
  }

  bool serves_as_result() const {
    if (!is_contiguous_like_x(out_) || !PyArray_ISWRITEABLE(as_array(out_))) return false;
    for (int k = 0; k < count_; ++k) {
      PyArrayObject* in = as_array(inputs_[k]);
      const bool in_place = k < 2 && PyArray_BYTES(in) == PyArray_BYTES(as_array(out_));
      if (!in_place && overlap(in, as_array(out_))) return false;
    }
    return true;
  }

  void compute(PyArrayObject* dx, PyArrayObject* sums) {
    constexpr npy_intp worth_releasing_the_gil = 8192;
    const Role role = function_.from_output ? Role::backward_from_output : Role::backward_with_bias;
    const std::ptrdiff_t item = PyArray_ITEMSIZE(dx);
    const npy_intp columns = PyArray_SIZE(sums), size = PyArray_SIZE(dx);
    Call call(current_instruction_set().rows[function_.row][role], type_->storage);
    call.dimensions = 2;
    call.shape[0] = std::size_t(columns ? size / columns : 0);
    call.shape[1] = std::size_t(columns);
    int added = 0;
    const auto add = [&](char* data, bool rows, bool side_by_side) {
      call.operands[added] = data;
      call.strides[0][added] = rows ? columns * item : 0;
      call.strides[1][added++] = side_by_side ? item : 0;
    };
    for (int k = 0; k < count_; ++k) add(PyArray_BYTES(as_array(inputs_[k])), k < 2, true);
    for (Py_ssize_t k = 0; k < PyTuple_GET_SIZE(function_.parameters); ++k)
      add(reinterpret_cast<char*>(&values_[k]), false, false);
    add(PyArray_BYTES(dx), true, true);

    const WithoutGil unlocked(size >= worth_releasing_the_gil);
    sum_rows(call, sums);
  }

  void sum_rows(const Call& call, PyArrayObject* sums) const {
    static const std::vector<bool> all_but_the_last{true, false};
    if (type_->number == NPY_DOUBLE) {
      execute_and_sum(call, all_but_the_last, static_cast<double*>(PyArray_DATA(sums)));
      return;
    }
    std::vector<double> wide(call.shape[1]);
    execute_and_sum(call, all_but_the_last, wide.data());
    const FloatingPointState state;
    std::transform(wide.begin(), wide.end(), static_cast<float*>(PyArray_DATA(sums)),
                   [](double sum) { return float(sum); });
  }

  const BackwardOfBias& function_;
  PyObject* inputs_[3];
  int count_;
  PyObject* out_;
  const Type* type_ = nullptr;
  Value values_[max_parameters];
};

}  // namespace

bool bias_fits(PyObject* x, PyObject* bias) {
  if (!PyArray_CheckExact(x) || !is_plain(bias)) return false;
  PyArrayObject *a = as_array(x), *b = as_array(bias);
  if (PyArray_NDIM(a) == 0 || PyArray_NDIM(b) != 1) return false;
  const Type* type = type_of(PyArray_TYPE(a));
  return type && !is_integer(type->storage) && PyArray_TYPE(b) == type->parameter_number &&
         PyArray_DIM(b, 0) == PyArray_DIM(a, PyArray_NDIM(a) - 1);
}

PyObject* backward_with_bias_directly(const BackwardOfBias& function, PyObject* g, PyObject* x, PyObject* bias,
                                      PyObject* out) {
  Backward call(function, g, x, bias, out);
  return call.is_simple() ? call.run() : Py_NewRef(Py_None);
}

}  // namespace halfwave
