#include "direct_call.hpp"

#include <algorithm>
#include <atomic>
#include <cstdlib>

#include "../execute.hpp"
#include "../large_memory.hpp"
#include "parameters.hpp"

namespace halfwave {
namespace {

std::atomic<bool> enabled{true};

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

// Arrays of one shape and with the same strides, which may lie between one another, as halves of rows or every second
// element do.
class Interlocked {
 public:
  Interlocked(PyArrayObject* a, PyArrayObject* b) : item_(PyArray_ITEMSIZE(a)) {
    const int n = PyArray_NDIM(a);
    comparable_ = PyArray_NDIM(b) == n && PyArray_ITEMSIZE(b) == item_ &&
                  PyArray_CompareLists(PyArray_DIMS(a), PyArray_DIMS(b), n) &&
                  PyArray_CompareLists(PyArray_STRIDES(a), PyArray_STRIDES(b), n);
    for (int d = 0; d < n && comparable_; ++d)
      if (PyArray_DIM(a, d) > 1) comparable_ = add(PyArray_DIM(a, d), std::abs(PyArray_STRIDE(a, d)));
    comparable_ = comparable_ && !meet(dimensions_, PyArray_BYTES(b) - PyArray_BYTES(a));
  }
  bool are_apart() const { return comparable_; }

 private:
  static constexpr int most = 4;  // dimensions; the search may double with each
  struct Dimension {
    npy_intp length, stride;
  };

  // Keeps the strides in ascending order.
  bool add(npy_intp length, npy_intp stride) {
    if (dimensions_ == most || stride == 0) return false;
    int d = dimensions_++;
    for (; d > 0 && kept_[d - 1].stride > stride; --d) kept_[d] = kept_[d - 1];
    kept_[d] = {length, stride};
    return true;
  }

  // Whether two elements share a byte, by steps in the inner `n` dimensions, if the first ones are `distance` apart.
  bool meet(int n, npy_intp distance) const {
    npy_intp reach = item_;
    for (int d = 0; d < n; ++d) reach += (kept_[d].length - 1) * kept_[d].stride;
    if (std::abs(distance) >= reach) return false;
    if (n == 0) return true;
    const auto [length, stride] = kept_[n - 1];
    const npy_intp inner = reach - (length - 1) * stride;
    for (npy_intp step = (distance - inner) / stride; step <= (distance + inner) / stride; ++step)
      if (std::abs(step) < length && meet(n - 1, distance - step * stride)) return true;
    return false;
  }

  npy_intp item_;
  Dimension kept_[most];
  int dimensions_ = 0;
  bool comparable_;
};

// Whether arrays may have a byte in common.
bool overlap(PyArrayObject* a, PyArrayObject* b) {
  return Extent(a).overlaps(Extent(b)) && !Interlocked(a, b).are_apart();
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
      if (!is_plain(inputs_[k], self_.number_of(k, *type_)) || !broadcast(as_array(inputs_[k]))) return false;
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
    for (int k = 0; k < self_.data + self_.parameters; ++k) {
      if (k >= self_.data && !is_array_[k]) continue;
      PyArrayObject* in = as_array(inputs_[k]);
      const bool same = same_layout(in, out) && PyArray_ITEMSIZE(in) == PyArray_ITEMSIZE(out);
      if (!same && overlap(in, out)) return false;
    }
    if (mask_ && overlap(as_array(mask_), out)) return false;
    for (int k = 0; k < output; ++k)
      if (given_[k] && overlap(as_array(outputs[k]), out)) return false;
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
      PyArrayObject* array = parameter ? nullptr : as_array(k < self_.data ? inputs_[k] : results[k - first_output]);
      call.operands[k] = array ? PyArray_BYTES(array) : reinterpret_cast<char*>(&values_[k - self_.data]);
      call.strides[0][k] = array ? PyArray_ITEMSIZE(array) : 0;
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

}  // namespace

PyObject* call_directly(const Ufunc& self, PyObject* const* operands, PyObject* const* positional, Py_ssize_t count,
                        PyObject* out, PyObject* where) {
  if (!enabled.load(std::memory_order_relaxed)) return nullptr;
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

bool set_direct_calls(bool on) { return enabled.exchange(on); }

}  // namespace halfwave
