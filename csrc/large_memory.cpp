#include "large_memory.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <mutex>
#include <unordered_map>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace halfwave {

#if defined(__linux__) && defined(MADV_FREE) && defined(MADV_HUGEPAGE)

namespace {

constexpr std::size_t huge_page = std::size_t(2) << 20;
// Smaller blocks come back from malloc without a page fault: glibc keeps those of up to 32 MB in its heap.
constexpr std::size_t large = std::size_t(32) << 20;
constexpr std::size_t most_kept = 4;
constexpr std::size_t most_bytes_kept = std::size_t(512) << 20;

std::size_t mapped_size(std::size_t size) { return (size + huge_page - 1) / huge_page * huge_page; }

void* map(std::size_t length) {
  void* reserved = mmap(nullptr, length + huge_page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (reserved == MAP_FAILED) return nullptr;
  auto* first = static_cast<char*>(reserved);
  const std::size_t before = (huge_page - reinterpret_cast<std::uintptr_t>(first) % huge_page) % huge_page;
  if (before) munmap(first, before);
  if (before != huge_page) munmap(first + before + length, huge_page - before);
  madvise(first + before, length, MADV_HUGEPAGE);
  return first + before;
}

// The blocks in use, and those that are free, the one that was freed last at the end.
class Blocks {
 public:
  void* take(std::size_t size) {
    const std::size_t length = mapped_size(size);
    const std::lock_guard lock(mutex_);
    void* memory = take_free(length);
    if (!memory) memory = map(length);
    if (memory) used_.emplace(memory, length);
    return memory;
  }

  void give(void* memory) {
    const std::lock_guard lock(mutex_);
    const auto found = used_.find(memory);
    const std::size_t length = found->second;
    used_.erase(found);
    if (length > most_bytes_kept || madvise(memory, length, MADV_FREE) != 0) {
      munmap(memory, length);
      return;
    }
    while (free_.size() == most_kept || bytes_ + length > most_bytes_kept) {
      munmap(free_.front().memory, free_.front().length);
      remove(free_.begin());
    }
    free_.push_back({memory, length});
    bytes_ += length;
  }

  std::size_t length(void* memory) {
    const std::lock_guard lock(mutex_);
    return used_.at(memory);
  }

 private:
  struct Block {
    void* memory;
    std::size_t length;
  };

  void* take_free(std::size_t length) {
    const auto found =
        std::find_if(free_.rbegin(), free_.rend(), [&](const Block& block) { return block.length == length; });
    if (found == free_.rend()) return nullptr;
    void* memory = found->memory;
    remove(std::prev(found.base()));
    return memory;
  }
  void remove(std::vector<Block>::iterator block) {
    bytes_ -= block->length;
    free_.erase(block);
  }

  std::mutex mutex_;
  std::unordered_map<void*, std::size_t> used_;
  std::vector<Block> free_;
  std::size_t bytes_ = 0;
};

// Never destroyed: arrays may outlive every static object.
Blocks& blocks() {
  static auto* all = new Blocks;
  return *all;
}

void* allocate(void*, std::size_t size) { return blocks().take(size); }

void* allocate_zeroed(void*, std::size_t count, std::size_t size) {
  void* memory = blocks().take(count * size);
  return memory ? std::memset(memory, 0, count * size) : nullptr;
}

void release(void*, void* memory, std::size_t) {
  if (memory) blocks().give(memory);
}

void* reallocate(void*, void* memory, std::size_t size) {
  const std::size_t before = blocks().length(memory);
  if (mapped_size(size) == before) return memory;
  void* moved = blocks().take(size);
  if (!moved) return nullptr;
  std::memcpy(moved, memory, std::min(before, size));
  blocks().give(memory);
  return moved;
}

// NumPy keeps a pointer to it in each array.
PyDataMem_Handler handler = {"halfwave", 1, {nullptr, allocate, allocate_zeroed, reallocate, release}};

PyObject* handler_capsule() {
  static PyObject* capsule = PyCapsule_New(&handler, "mem_handler", nullptr);
  return capsule;
}

}  // namespace

PyObject* new_result(int dimensions, npy_intp* shape, int type) {
  PyArray_Descr* descriptor = PyArray_DescrFromType(type);
  if (!descriptor) return nullptr;
  const npy_intp bytes = PyArray_OverflowMultiplyList(shape, dimensions) * PyDataType_ELSIZE(descriptor);
  if (bytes < npy_intp(large))
    return PyArray_NewFromDescr(&PyArray_Type, descriptor, dimensions, shape, nullptr, nullptr, 0, nullptr);

  // Whoever has chosen another allocator gets it.
  PyObject* current = PyDataMem_GetHandler();
  const bool ours = current == PyDataMem_DefaultHandler && handler_capsule();
  Py_XDECREF(current);
  PyObject* before = ours ? PyDataMem_SetHandler(handler_capsule()) : nullptr;
  PyObject* result = nullptr;
  if (before || !ours)
    result = PyArray_NewFromDescr(&PyArray_Type, descriptor, dimensions, shape, nullptr, nullptr, 0, nullptr);
  else
    Py_DECREF(descriptor);
  if (before) {
    Py_XDECREF(PyDataMem_SetHandler(before));
    Py_DECREF(before);
  }
  return result;
}

#else

PyObject* new_result(int dimensions, npy_intp* shape, int type) { return PyArray_SimpleNew(dimensions, shape, type); }

#endif

}  // namespace halfwave
