// Runs operations of the kernels on operands from a file, so that another processor's results can be compared, bit for
// bit, with this one's. A job is a line, `set role row storage n`, and then n values of each data operand and parameter;
// its results go out contiguous and strided. Passes with a mask are jobs too: x, or g and the mask, and one value of each
// parameter; their results, and the mask that was made, go out twice, the second time computed in place.
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "table.hpp"

namespace halfwave {
extern const InstructionSet instruction_set_scalar, instruction_set_neon;
}

namespace {

using namespace halfwave;

template <class T, std::size_t n>
const T& find(const std::pair<const char*, T> (&table)[n], const std::string& name) {
  for (const auto& [key, value] : table)
    if (name == key) return value;
  throw std::invalid_argument(name);
}

const std::pair<const char*, const InstructionSet*> sets[] = {{"scalar", &instruction_set_scalar},
                                                              {"neon", &instruction_set_neon}};
const std::pair<const char*, Role> role_names[] = {
    {"forward", Role::forward},
    {"backward", Role::backward},
    {"backward_from_output", Role::backward_from_output},
    {"parameter_terms", Role::parameter_terms},
    {"backward_gate", Role::backward_gate},
    {"backward_up", Role::backward_up},
    {"second_derivative", Role::second_derivative},
};

struct Stored {
  Storage storage;
  std::size_t size;
};
const std::pair<const char*, Stored> storage_names[] = {
    {"float16", {Storage::float16, 2}}, {"bfloat16", {Storage::bfloat16, 2}}, {"float32", {Storage::float32, 4}},
    {"float64", {Storage::float64, 8}}, {"int8", {Storage::int8, 1}},         {"int16", {Storage::int16, 2}},
    {"int32", {Storage::int32, 4}},     {"int64", {Storage::int64, 8}},       {"uint8", {Storage::uint8, 1}},
    {"uint16", {Storage::uint16, 2}},   {"uint32", {Storage::uint32, 4}},     {"uint64", {Storage::uint64, 8}}};

// The size of an operand's elements: parameters lie in the type that is computed with.
std::size_t item_size(const Operation& op, int operand, const Stored& stored) {
  const bool parameter = operand >= op.data && operand < op.data + op.parameters;
  if (!parameter) return stored.size;
  return is_integer(stored.storage) || stored.storage == Storage::float64 ? 8 : 4;
}

using Bytes = std::vector<char>;

void copy(const char* from, std::size_t from_stride, char* to, std::size_t to_stride, std::size_t item, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t b = 0; b < item; ++b) to[i * to_stride + b] = from[i * from_stride + b];
}

void run(const InstructionSet& set, const Operation& op, const Stored& stored, std::size_t n, std::size_t step,
         const std::vector<Bytes>& inputs, std::ofstream& results) {
  std::vector<Bytes> memory;
  std::vector<char*> pointers;
  std::vector<std::ptrdiff_t> strides;
  for (int k = 0; k < op.operands(); ++k) {
    const std::size_t item = item_size(op, k, stored);
    memory.emplace_back(n * step * item);
    if (k < op.data + op.parameters)
      copy(inputs[std::size_t(k)].data(), item, memory.back().data(), step * item, item, n);
    strides.push_back(std::ptrdiff_t(step * item));
  }
  for (Bytes& m : memory) pointers.push_back(m.data());
  set.run(op, stored.storage, pointers.data(), strides.data(), 0, n, false);
  for (int k = op.data + op.parameters; k < op.operands(); ++k) {
    Bytes packed(n * stored.size);
    copy(memory[std::size_t(k)].data(), step * stored.size, packed.data(), stored.size, stored.size, n);
    results.write(packed.data(), std::streamsize(packed.size()));
  }
}

Bytes read_bytes(std::ifstream& jobs, std::size_t size) {
  Bytes bytes(size);
  jobs.read(bytes.data(), std::streamsize(size));
  return bytes;
}

void run_with_mask(const InstructionSet& set, const std::string& role, std::size_t row, const Stored& stored,
                   std::size_t n, std::ifstream& jobs, std::ofstream& results) {
  const bool forward = role == "with_mask";
  const Operation& op = set.rows[row][forward ? Role::forward : Role::backward];
  const MaskBlocks& blocks = set.masks[row].blocks[int(stored.storage)];
  const std::size_t mask_size = (n + 7) / 8;
  Bytes in = read_bytes(jobs, n * stored.size), out(in.size());
  std::vector<std::uint8_t> mask(mask_size);
  if (!forward) jobs.read(reinterpret_cast<char*>(mask.data()), std::streamsize(mask_size));
  std::vector<Bytes> values;
  for (int k = 0; k < op.parameters; ++k) values.push_back(read_bytes(jobs, item_size(op, op.data + k, stored)));
  std::vector<const char*> parameters;
  for (const Bytes& value : values) parameters.push_back(value.data());
  for (Bytes* to : {&out, &in}) {
    if (forward)
      blocks.forward(op, in.data(), parameters.data(), to->data(), mask.data(), n);
    else
      blocks.backward(op, in.data(), mask.data(), parameters.data(), to->data(), n);
    results.write(to->data(), std::streamsize(to->size()));
    if (forward) results.write(reinterpret_cast<const char*>(mask.data()), std::streamsize(mask_size));
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return std::fprintf(stderr, "usage: runner JOBS RESULTS\n"), 2;
  std::ifstream jobs(argv[1], std::ios::binary);
  std::ofstream results(argv[2], std::ios::binary);
  std::string set_name, role, storage;
  std::size_t row, n;
  while (jobs >> set_name >> role >> storage >> row >> n) {
    jobs.get();
    const InstructionSet& set = *find(sets, set_name);
    const Stored& stored = find(storage_names, storage);
    if (role.ends_with("_mask")) {
      run_with_mask(set, role, row, stored, n, jobs, results);
      continue;
    }
    const Operation& op = set.rows[row][find(role_names, role)];
    std::vector<Bytes> inputs;
    for (int k = 0; k < op.data + op.parameters; ++k) inputs.push_back(read_bytes(jobs, n * item_size(op, k, stored)));
    for (const std::size_t step : {1, 3}) run(set, op, stored, n, step, inputs, results);
  }
  return results.good() ? 0 : 1;
}
