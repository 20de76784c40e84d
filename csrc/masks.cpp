#include "masks.hpp"

#include "execute.hpp"
#include "large_memory.hpp"
#include "memory.hpp"
#include "ufunc/parameters.hpp"

namespace halfwave {
namespace {

// Bytes of an operand that are staged at a time: they stay in the L1 cache.
constexpr std::size_t piece_bytes = 8192;

// The elements of an array in C order, a piece at a time: where they lie, if that is side by side, or in a buffer.
class Pieces {
 public:
  Pieces(const Operation& op, Storage storage, PyArrayObject* array)
      : walk_(op, storage), item_(std::size_t(PyArray_ITEMSIZE(array))), contiguous_(PyArray_IS_C_CONTIGUOUS(array)) {
    walk_.operands[0] = PyArray_BYTES(array);
    walk_.dimensions = PyArray_NDIM(array);
    for (int d = 0; d < walk_.dimensions; ++d) {
      walk_.shape[d] = std::size_t(PyArray_DIM(array, d));
      walk_.strides[d][0] = PyArray_STRIDE(array, d);
    }
    simplify(walk_, 1);
  }

  bool contiguous() const { return contiguous_; }

  // Where n elements lie side by side: at home, or copied to the buffer.
  char* read(std::size_t begin, std::size_t n, char* buffer) const {
    if (contiguous_) return at(begin);
    visit(begin, n, buffer, [&](auto kind, char* items, std::ptrdiff_t stride, char* side_by_side, std::size_t count) {
      gather(reinterpret_cast<decltype(kind)*>(side_by_side), items, stride, count);
    });
    return buffer;
  }

  // Where n results go first, and from there to where they belong.
  char* target(std::size_t begin, char* buffer, bool streaming) const {
    return contiguous_ && !streaming ? at(begin) : buffer;
  }
  void deliver(std::size_t begin, std::size_t n, char* buffer, bool streaming) const {
    if (!contiguous_)
      visit(begin, n, buffer,
            [&](auto kind, char* items, std::ptrdiff_t stride, char* side_by_side, std::size_t count) {
              scatter(items, stride, reinterpret_cast<decltype(kind)*>(side_by_side), count);
            });
    else if (streaming)
      put_lines(at(begin), buffer, n * item_);
  }

 private:
  char* at(std::size_t begin) const { return walk_.operands[0] + begin * item_; }

  static void put_lines(char* to, const char* from, std::size_t bytes) {
    const std::size_t before = std::min(bytes, (line - reinterpret_cast<std::uintptr_t>(to) % line) % line);
    put(to, from, before, false);
    put(to + before, from + before, bytes - before, true);
  }

  // copy(T(), items, stride, side_by_side, count) for the pieces of rows that n elements are, T having their size.
  template <class Copy>
  void visit(std::size_t begin, std::size_t n, char* buffer, const Copy& copy) const {
    const std::ptrdiff_t stride = walk_.strides[walk_.dimensions - 1][0];
    for_each_row(walk_, 1, begin, begin + n, [&](char* const* row, std::size_t first, std::size_t count) {
      char* items = row[0] + std::ptrdiff_t(first) * stride;
      switch (item_) {
        case 2: copy(std::uint16_t(), items, stride, buffer, count); break;
        case 4: copy(std::uint32_t(), items, stride, buffer, count); break;
        default: copy(std::uint64_t(), items, stride, buffer, count);
      }
      buffer += count * item_;
    });
  }

  Call walk_;
  std::size_t item_;
  bool contiguous_;
};

// One pass over memory, of which each thread takes some pieces.
class Pass {
 public:
  // Makes the result, if none is given, and the parameters.
  Pass(int row, Role role, PyObject* in, PyObject* mask, PyObject* const* parameters, PyObject* out)
      : operation_(current_instruction_set().rows[row][role]),
        type_(*type_of(PyArray_TYPE(as_array(in)))),
        blocks_(current_instruction_set().masks[row].blocks[int(type_.storage)]),
        in_(as_array(in)),
        mask_(static_cast<std::uint8_t*>(PyArray_DATA(as_array(mask)))) {
    for (int k = 0; k < operation_.parameters; ++k) {
      if (!convert_parameter(type_, parameters[k], values_[k]))
        PyErr_SetString(PyExc_TypeError, "a parameter must be a real scalar");
      parameters_[k] = reinterpret_cast<const char*>(&values_[k]);
    }
    if (PyErr_Occurred()) return;
    result_ = out ? Py_NewRef(out) : new_result(PyArray_NDIM(in_), PyArray_DIMS(in_), type_.number);
  }

  // block(blocks, operation, in, parameters, out, mask, n) computes a piece.
  template <class Block>
  PyObject* run(const Block& block) {
    constexpr npy_intp worth_releasing_the_gil = 8192;
    const npy_intp size = PyArray_SIZE(in_);
    if (!result_ || size == 0) return result_;
    PyThreadState* thread = size >= worth_releasing_the_gil ? PyEval_SaveThread() : nullptr;
    run_pieces(std::size_t(size), block);
    if (thread) PyEval_RestoreThread(thread);
    return result_;
  }

 private:
  template <class Block>
  void run_pieces(std::size_t total, const Block& block) {
    const Pieces from(operation_, type_.storage, in_), to(operation_, type_.storage, as_array(result_));
    const auto item = std::size_t(PyArray_ITEMSIZE(in_));
    const bool in_place = PyArray_DATA(in_) == PyArray_DATA(as_array(result_));
    const bool streaming = to.contiguous() && !in_place && outgrows_cache(2 * total * item);
    const std::size_t most = from.contiguous() && to.contiguous() && !streaming ? grain : piece_bytes / item;
    in_parts(total, [&](std::size_t begin, std::size_t end) {
      alignas(64) char read[piece_bytes], written[piece_bytes];
      for (std::size_t i = begin; i < end; i += most) {
        const std::size_t n = std::min(most, end - i);
        block(blocks_, operation_, from.read(i, n, read), parameters_, to.target(i, written, streaming), mask_ + i / 8,
              n);
        to.deliver(i, n, written, streaming);
      }
      if (streaming) finish_streaming();
    });
  }

  const Operation& operation_;
  const Type& type_;
  const MaskBlocks& blocks_;
  PyArrayObject* in_;
  std::uint8_t* mask_;
  Value values_[max_parameters];
  const char* parameters_[max_parameters];
  PyObject* result_ = nullptr;
};

// Exact, contiguous, aligned, in this machine's byte order.
bool is_plain(PyObject* object) { return PyArray_CheckExact(object) && PyArray_ISCARRAY_RO(as_array(object)); }

// Whether the operand is a plain array, and the parameters are scalars that nothing has to be said of.
bool is_usual_call(int row, Role role, PyObject* in, PyObject* const* parameters) {
  if (!is_plain(in) || PyArray_NDIM(as_array(in)) == 0) return false;
  const Type* type = type_of(PyArray_TYPE(as_array(in)));
  if (!type || is_integer(type->storage)) return false;
  Value value;
  for (int k = 0; k < current_instruction_set().rows[row][role].parameters; ++k)
    if (!convert_parameter(*type, parameters[k], value)) return false;
  return true;
}

npy_intp mask_size(PyArrayObject* array) { return (PyArray_SIZE(array) + 7) / 8; }

bool is_mask(PyObject* object, npy_intp bytes) {
  return is_plain(object) && PyArray_TYPE(as_array(object)) == NPY_UINT8 && PyArray_NDIM(as_array(object)) == 1 &&
         PyArray_DIM(as_array(object), 0) == bytes;
}

bool overlap(PyObject* a, PyObject* b) {
  const char *first = PyArray_BYTES(as_array(a)), *second = PyArray_BYTES(as_array(b));
  return first < second + PyArray_NBYTES(as_array(b)) && second < first + PyArray_NBYTES(as_array(a));
}

// Whether the result of a plain operand can be stored there: in its place, or apart from it.
bool is_result_for(PyObject* object, PyObject* in) {
  if (!is_plain(object) || !PyArray_ISWRITEABLE(as_array(object))) return false;
  PyArrayObject *out = as_array(object), *from = as_array(in);
  return PyArray_TYPE(out) == PyArray_TYPE(from) && PyArray_SAMESHAPE(out, from) &&
         (PyArray_BYTES(out) == PyArray_BYTES(from) || !overlap(object, in));
}

}  // namespace

PyObject* forward_with_mask(int row, PyObject* x, PyObject* mask, PyObject* const* parameters, PyObject* y) {
  Pass pass(row, Role::forward, x, mask, parameters, y);
  return pass.run([](const MaskBlocks& blocks, const Operation& op, const char* in, const char* const* values,
                     char* out, std::uint8_t* bits, std::size_t n) { blocks.forward(op, in, values, out, bits, n); });
}

PyObject* backward_from_mask(int row, PyObject* g, PyObject* mask, PyObject* const* parameters, PyObject* dx) {
  Pass pass(row, Role::backward, g, mask, parameters, dx);
  return pass.run([](const MaskBlocks& blocks, const Operation& op, const char* in, const char* const* values,
                     char* out, const std::uint8_t* bits,
                     std::size_t n) { blocks.backward(op, in, bits, values, out, n); });
}

PyObject* forward_with_mask_directly(int row, PyObject* x, PyObject* const* parameters, PyObject* out) {
  if (!is_usual_call(row, Role::forward, x, parameters)) Py_RETURN_NONE;
  PyObject *y = out, *mask = Py_None;
  if (PyTuple_CheckExact(out) && PyTuple_GET_SIZE(out) == 2) {
    y = PyTuple_GET_ITEM(out, 0);
    mask = PyTuple_GET_ITEM(out, 1);
  }
  npy_intp bytes = mask_size(as_array(x));
  if (y != Py_None && !is_result_for(y, x)) Py_RETURN_NONE;
  if (mask != Py_None) {
    if (!is_mask(mask, bytes) || !PyArray_ISWRITEABLE(as_array(mask)) || overlap(mask, x)) Py_RETURN_NONE;
    if (y != Py_None && overlap(mask, y)) Py_RETURN_NONE;
  }
  PyObject* results = PyTuple_New(2);
  PyObject* bits = mask != Py_None ? Py_NewRef(mask) : PyArray_SimpleNew(1, &bytes, NPY_UINT8);
  if (results && bits) {
    PyTuple_SET_ITEM(results, 1, bits);
    PyObject* result = forward_with_mask(row, x, bits, parameters, y == Py_None ? nullptr : y);
    PyTuple_SET_ITEM(results, 0, result);
    if (result) return results;
  } else {
    Py_XDECREF(bits);
  }
  Py_XDECREF(results);
  return nullptr;
}

PyObject* backward_from_mask_directly(int row, PyObject* g, PyObject* mask, PyObject* const* parameters,
                                      PyObject* out) {
  if (!is_usual_call(row, Role::backward, g, parameters)) Py_RETURN_NONE;
  if (!is_mask(mask, mask_size(as_array(g))) || overlap(mask, g)) Py_RETURN_NONE;
  if (out != Py_None && (!is_result_for(out, g) || overlap(mask, out))) Py_RETURN_NONE;
  return backward_from_mask(row, g, mask, parameters, out == Py_None ? nullptr : out);
}

}  // namespace halfwave
