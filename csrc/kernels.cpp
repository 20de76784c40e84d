// Drives every activation over memory. Compiled once per instruction set, with HALFWAVE_ISA naming it, so nothing in
// here may be visible to the linker but the one table at the end: no function templates of the standard library, no
// inline functions outside of anonymous namespaces, no static initialisers.
#include "block.hpp"
#include "floating_point_state.hpp"
#include "integers.hpp"
#include "mask_block.hpp"
#include "narrow.hpp"
#include "native.hpp"
#include "observe.hpp"
#include "of_sum.hpp"
#include "run_and_sum.hpp"
#include "table.hpp"

namespace halfwave {
namespace {

// In the floating-point state of a kernel.
void run_operation(const Operation& op, Storage storage, char* const* at, const ptrdiff_t* strides, size_t n,
                   bool streaming) {
  if (op.of_sum) return run_of_sum(op, storage, at, strides, n, streaming);
  switch (storage) {
    case Storage::float16: return run_narrow<Float16>(op, at, strides, n, streaming);
    case Storage::bfloat16: return run_narrow<BFloat16>(op, at, strides, n, streaming);
    case Storage::float32: return run_native<float>(op, at, strides, n, streaming);
    case Storage::float64: return run_native<double>(op, at, strides, n, streaming);
    case Storage::int8: return run_integers<int8_t, Storage::int8>(op, at, strides, n, streaming);
    case Storage::int16: return run_integers<int16_t, Storage::int16>(op, at, strides, n, streaming);
    case Storage::int32: return run_integers<int32_t, Storage::int32>(op, at, strides, n, streaming);
    case Storage::int64: return run_integers<int64_t, Storage::int64>(op, at, strides, n, streaming);
    case Storage::uint8: return run_integers<uint8_t, Storage::uint8>(op, at, strides, n, streaming);
    case Storage::uint16: return run_integers<uint16_t, Storage::uint16>(op, at, strides, n, streaming);
    case Storage::uint32: return run_integers<uint32_t, Storage::uint32>(op, at, strides, n, streaming);
    case Storage::uint64: return run_integers<uint64_t, Storage::uint64>(op, at, strides, n, streaming);
  }
}

void run(const Operation& op, Storage storage, char* const* operands, const ptrdiff_t* strides, size_t begin,
         size_t end, bool streaming) {
  const FloatingPointState state;
  char* at[max_operands];
  for (int k = 0; k < op.operands(); ++k) at[k] = operands[k] + ptrdiff_t(begin) * strides[k];
  run_operation(op, storage, at, strides, end - begin, streaming);
}

}  // namespace

#define HALFWAVE_STRING_(x) #x
#define HALFWAVE_STRING(x) HALFWAVE_STRING_(x)
#define HALFWAVE_TABLE_(isa) HALFWAVE_CONCATENATE(instruction_set_, isa)

extern const InstructionSet HALFWAVE_TABLE_(HALFWAVE_ISA);
const InstructionSet HALFWAVE_TABLE_(HALFWAVE_ISA) = {HALFWAVE_STRING(HALFWAVE_ISA),
                                                      Rows<activations::Catalogue>::table,
                                                      MaskRows<activations::Catalogue>::table,
                                                      run,
                                                      run_and_sum,
                                                      observe<float>,
                                                      observe<double>};

}  // namespace halfwave
