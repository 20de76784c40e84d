#include "threads.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <system_error>
#include <thread>

#include "machine.hpp"

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#include <signal.h>
#endif
#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif

namespace halfwave {
namespace {

void pause() {
#if defined(__x86_64__) || defined(_M_X64)
  _mm_pause();
#elif defined(__aarch64__) && !defined(_MSC_VER)
  asm volatile("yield");
#endif
}

// Whether `condition` became true within a while that is shorter than falling asleep and being woken up.
template <class Condition>
bool spin_until(Condition condition) {
  constexpr auto patience = std::chrono::microseconds(30);
  const auto start = std::chrono::steady_clock::now();
  do
    for (int i = 0; i < 16; ++i) {
      if (condition()) return true;
      pause();
    }
  while (std::chrono::steady_clock::now() - start < patience);
  return condition();
}

// A thread that leaves all signals to those that Python knows of.
template <class F>
void start_thread(F f) {
#if defined(__unix__) || defined(__APPLE__)
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  struct Restore {
    const sigset_t& mask;
    ~Restore() { pthread_sigmask(SIG_SETMASK, &mask, nullptr); }
  } restore{before};
#endif
  std::thread(f).detach();
}

// One job at a time. The workers watch `bell_`, which rings for each job, and enter it through `door_`, which counts those
// inside; the one who brings the job closes the door when no part is left, and waits for those inside only: one that
// wakes up late finds the door closed, or helps with the next job.
class Pool {
 public:
  // Returns false, having done nothing, if another thread is at it.
  bool run(int threads, std::size_t parts, void (*part)(const void*, std::size_t), const void* context) {
    const std::unique_lock lock(in_use_, std::try_to_lock);
    if (!lock) return false;
    grow(threads - 1);
    part_ = part;
    context_ = context;
    parts_ = parts;
    helpers_ = threads - 1;
    next_.store(0, std::memory_order_relaxed);
    door_.store(open);
    ring();
    work();
    door_.fetch_and(~open);
    while (!spin_until([this] { return door_.load() == 0; })) std::this_thread::yield();
    return true;
  }

 private:
  static constexpr std::uint32_t open = std::uint32_t(1) << 31;

  void grow(int workers) {
    try {
      for (; started_ < workers; ++started_)
        start_thread([this, index = started_, heard = bell_.load()] { serve(index, heard); });
    } catch (const std::system_error&) {
      // The system has no more threads to give: those that there are do the work.
    }
  }

  void ring() {
    bell_.fetch_add(1);
    if (asleep_.load() == 0) return;
    {
      const std::lock_guard lock(bed_);
    }  // whoever is about to fall asleep does so before being woken up
    wake_up_.notify_all();
  }

  std::uint32_t await(std::uint32_t heard) {
    if (!spin_until([&] { return bell_.load() != heard; })) {
      std::unique_lock lock(bed_);
      asleep_.fetch_add(1);
      wake_up_.wait(lock, [&] { return bell_.load() != heard; });
      asleep_.fetch_sub(1);
    }
    return bell_.load();
  }

  bool enter() {
    for (std::uint32_t inside = door_.load(); inside & open;)
      if (door_.compare_exchange_weak(inside, inside + 1)) return true;
    return false;
  }

  void serve(int index, std::uint32_t heard) {
    for (;;) {
      heard = await(heard);
      if (!enter()) continue;
      if (index < helpers_) work();
      door_.fetch_sub(1);
    }
  }

  void work() {
    for (std::size_t i; (i = next_.fetch_add(1, std::memory_order_relaxed)) < parts_;) part_(context_, i);
  }

  std::mutex in_use_;
  int started_ = 0;

  void (*part_)(const void*, std::size_t) = nullptr;
  const void* context_ = nullptr;
  std::size_t parts_ = 0;
  int helpers_ = 0;

  alignas(64) std::atomic<std::size_t> next_{0};
  alignas(64) std::atomic<std::uint32_t> door_{0};
  alignas(64) std::atomic<std::uint32_t> bell_{0};
  std::atomic<int> asleep_{0};
  std::mutex bed_;
  std::condition_variable wake_up_;
};

// Never destroyed, since its threads may outlive every static object. A forked child has none of them, and its copy of
// the locks may be held for good: it begins with a new pool.
std::atomic<Pool*> current_pool{nullptr};

Pool& pool() {
  Pool* existing = current_pool.load();
  if (existing) return *existing;
#if defined(__unix__) || defined(__APPLE__)
  static const int registered = pthread_atfork(nullptr, nullptr, [] { current_pool.store(nullptr); });
  static_cast<void>(registered);
#endif
  auto* made = new Pool;
  if (current_pool.compare_exchange_strong(existing, made)) return *made;
  delete made;
  return *existing;
}

std::atomic<int> count{0};  // 0: not yet asked for

}  // namespace

int thread_count() {
  int n = count.load(std::memory_order_relaxed);
  if (n == 0 && count.compare_exchange_strong(n, available_processors())) n = count.load();
  return n;
}

void set_thread_count(int n) { count.store(n); }

void run_parts(std::size_t parts, void (*part)(const void*, std::size_t), const void* context) {
  const int threads = int(std::min(std::size_t(thread_count()), parts));
  if (threads > 1 && pool().run(threads, parts, part, context)) return;
  for (std::size_t i = 0; i < parts; ++i) part(context, i);
}

}  // namespace halfwave
