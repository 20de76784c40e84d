// The plain-data contract between the kernels, compiled once per instruction set, and everything else.
#pragma once

#include <cstddef>
#include <cstdint>

namespace halfwave {

constexpr int max_data = 3;
constexpr int max_parameters = 3;
constexpr int max_outputs = 3;
constexpr int max_operands = max_data + max_parameters + max_outputs;

// How data and results lie in memory. Parameters lie in the type that is computed with: float for 16-bit and 32-bit
// floats; those of integers are int64.
enum class Storage : std::uint8_t {
  float16,
  bfloat16,
  float32,
  float64,
  int8,
  int16,
  int32,
  int64,
  uint8,
  uint16,
  uint32,
  uint64
};
constexpr int storages = 12;
constexpr bool is_integer(Storage storage) { return storage >= Storage::int8; }
constexpr int integer_storages = 8;

// One formula over contiguous arrays of its compute type. `in` holds the data operands, then the parameters. Results may be
// stored past the cache.
template <class T>
struct Blocks {
  struct Function {
    void (*block)(const T* const* in, T* const* out, std::size_t n, bool streaming);
    void operator()(const T* const* in, T* const* out, std::size_t n, bool streaming = false) const {
      block(in, out, n, streaming);
    }
  };
  Function uniform;  // each parameter is one value
  Function varying;  // each parameter is an array like the data
};

struct Operation;

// 16-bit floats side by side and, in float, parameters: each one value or, where they vary, an array like the data.
struct NarrowOperands {
  const std::uint16_t* data[max_data];
  const float* parameters[max_parameters];
  bool varying = false;
};

// The same over 16-bit floats.
struct NarrowKernel {
  // For parameters that do not vary.
  void (*block)(const Operation&, const NarrowOperands&, std::uint16_t* const* out, std::size_t n);
  // For others: rounds what `floats` made of the operands as that computes them. `large`: a factor may be.
  void (*round)(const Operation&, int output, const NarrowOperands&, const float* results, bool large,
                std::uint16_t* to, std::size_t n);
  Blocks<float> floats;
};

// The same for a forward function that keeps integers, over arrays of one of their types.
struct IntegerBlocks {
  using Function = void (*)(const void* x, const std::int64_t* const* parameters, void* y, std::size_t n);
  Function uniform;
  Function varying;
};

// What one ufunc computes.
struct Operation {
  std::uint8_t data = 0;  // 0: the activation has no such operation
  std::uint8_t parameters = 0;
  std::uint8_t outputs = 0;
  std::uint8_t factors = 0;  // bit k: the result is a multiple of data operand k
  Blocks<float> f32{};
  Blocks<double> f64{};
  NarrowKernel f16{};
  NarrowKernel bf16{};
  const IntegerBlocks* integers = nullptr;  // in the order of Storage, from int8 on
  // Where this is an operation on a sum: the operation on x that is carried out on x + addend. The addend comes after
  // the data of that one, a residual as one more of them, a bias as a first parameter.
  const Operation* of_sum = nullptr;

  constexpr explicit operator bool() const { return data != 0; }
  constexpr int operands() const { return data + parameters + outputs; }
  constexpr bool is_factor(int k) const { return (factors >> k & 1) != 0; }
  // The operand that the formula is a function of, and not only a multiple.
  constexpr int first_not_factor() const {
    int k = 0;
    while (is_factor(k)) ++k;
    return k;
  }
};

// The operations that an activation may have. Operands: x is the input, y the output, g the upstream gradient; a gated
// unit has gate and up in the place of x.
enum class Role : std::uint8_t {
  forward,               // (x) -> y
  backward,              // (g, x) -> dx;  gated: (g, gate, up) -> dgate, dup
  backward_from_output,  // (g, y) -> dx
  parameter_terms,       // (g, x) -> one term per parameter, to be summed
  backward_gate,         // (g, gate, up) -> dgate
  backward_up,           // (g, gate, up) -> dup
  second_derivative,     // (x) -> f''(x)
  // On a sum in the place of x.
  forward_with_bias,       // (x, bias) -> y
  forward_with_residual,   // (x, residual) -> y
  backward_with_bias,      // (g, x, bias) -> dx
  backward_with_residual,  // (g, x, residual) -> dx
};
constexpr int roles = 11;

struct Row {
  Operation operations[roles];
  constexpr const Operation& operator[](Role role) const { return operations[static_cast<int>(role)]; }
};

// A mask has one bit per element, eight of them to a byte, the first in the lowest bit. It is set where the derivative is
// 1, and for NaN; bits beyond the last element are 0. These are the passes over n elements that lie side by side, of an
// activation's forward or backward operation, with one value of each parameter. A result may take its operand's place.
struct MaskBlocks {
  void (*forward)(const Operation&, const void* x, const char* const* parameters, void* y, std::uint8_t* mask,
                  std::size_t n);
  void (*backward)(const Operation&, const void* g, const std::uint8_t* mask, const char* const* parameters, void* dx,
                   std::size_t n);
};

// In the order of Storage; empty where an activation has no mask.
struct MaskRow {
  MaskBlocks blocks[4];
};

// The sum of a chunk is taken in this many lanes, lane j holding the terms j, j + lanes, …; then the lanes are added
// pairwise. Being fixed, the order, and so the result, is the same everywhere.
constexpr std::size_t sum_lanes = 16;
constexpr std::size_t sum_chunk = 1024;
constexpr std::size_t sum_rows = 64;  // that are computed before they are added

// At most sum_chunk rows of at most sum_chunk columns, of which each column is summed, the operands being those of
// InstructionSet::run. Those of a single column may be strided by anything along it.
struct Tile {
  char* operands[max_operands];  // not the outputs, unless they are stored
  std::ptrdiff_t row_strides[max_operands], column_strides[max_operands];
  std::size_t rows, columns;
  std::size_t first_row;  // of its chunk: its terms go to lane first_row % sum_lanes
  int output;             // that is summed
  bool stored;            // the only output
  void* scratch;          // memory for sum_rows rows, or the only column, of what is summed
};

// A batch of a layer: one row per example with one element per unit, side by side. Strides are in bytes.
struct Batch {
  const char* derivative;
  const char* y;
  std::ptrdiff_t derivative_stride, y_stride;
  std::size_t rows, units;
  double saturation;  // the magnitude of the derivative up to which a unit is saturated
};

// What has been seen of a layer's units: on how many examples each fired and was not saturated, the mean of its outputs,
// and the sum of their squared deviations from it.
struct Observed {
  std::int64_t examples;
  std::int64_t *fired, *passed;
  double *mean, *squares;
};

struct InstructionSet {
  const char* name;
  const Row* rows;       // in the order of the catalogue
  const MaskRow* masks;  // in the same order

  // Computes the elements [begin, end) of a call. operands[k] points to element 0 of the data operands, the parameters
  // and the outputs, in this order; strides are in bytes and may be anything. An output may be the same memory as an
  // input, but share none with another element's. Independent of the caller's floating-point state, and leaves it as it
  // was. `streaming` writes outputs that are contiguous past the cache.
  void (*run)(const Operation&, Storage, char* const* operands, const std::ptrdiff_t* strides, std::size_t begin,
              std::size_t end, bool streaming);

  // Computes a tile, and adds the terms to the lanes of their columns: `sums` holds sum_lanes rows of `columns` numbers.
  void (*run_and_sum)(const Operation&, Storage, const Tile&, double* sums);

  // Counts a batch in, all but `examples`, and returns how many outputs were 0.
  std::int64_t (*observe_f32)(const Batch&, Observed&);
  std::int64_t (*observe_f64)(const Batch&, Observed&);
};

}  // namespace halfwave
