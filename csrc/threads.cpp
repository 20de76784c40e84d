#include "threads.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "machine.hpp"

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#include <signal.h>
#endif
#if defined(__linux__)
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif
#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif

namespace halfwave {
namespace {

// A worker that sleeps. Where Linux finds no idle processor at once it may wake a thread on the one that the caller is
// running on, and in a virtual machine it often takes idle processors for busy ones. The worker would then wait there
// until the load is balanced, for milliseconds, while the caller does all the work.
#if defined(__linux__)
class Sleeper {
 public:
  // Has the worker wake up elsewhere than on the caller's processor.
  void keep_off(int processor) {
    if (!narrowed_ && sched_getaffinity(thread_, sizeof allowed_, &allowed_) != 0) return;
    cpu_set_t others = allowed_;
    CPU_CLR(unsigned(processor), &others);
    narrowed_ = CPU_COUNT(&others) != 0 && sched_setaffinity(thread_, sizeof others, &others) == 0;
  }

  // To be called by the worker, before it sleeps again: while it is at work that would only hold it up.
  void roam() {
    if (narrowed_) sched_setaffinity(thread_, sizeof allowed_, &allowed_);
    narrowed_ = false;
  }

 private:
  const pid_t thread_ = pid_t(syscall(SYS_gettid));
  cpu_set_t allowed_;
  bool narrowed_ = false;
};

int current_processor() { return sched_getcpu(); }
#else
struct Sleeper {
  void keep_off(int) {}
  void roam() {}
};

int current_processor() { return 0; }
#endif

void pause() {
#if defined(__x86_64__) || defined(_M_X64)
  _mm_pause();
#elif defined(__aarch64__) && !defined(_MSC_VER)
  asm volatile("yield");
#endif
}

using Clock = std::chrono::steady_clock;

// How long a thread waits before it sleeps.
constexpr auto patience = std::chrono::microseconds(30);

// Whether `condition` became true meanwhile.
template <class Condition>
bool spin_until(Condition condition) {
  const auto start = Clock::now();
  do
    for (int i = 0; i < 16; ++i) {
      if (condition()) return true;
      pause();
    }
  while (Clock::now() - start < patience);
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

// What must be left of a single call after its first part. On two processors calls that take 46 µs were as fast with a
// worker that was woken up as without, shorter ones slower by up to 10 µs.
std::atomic<std::int64_t> worth_waking{45'000};

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
    const auto start = Clock::now();
    bell_.fetch_add(1);
    if (asleep_.load() != 0 && pays_to_wake(start)) wake();
    work();
    door_.fetch_and(~open);
    while (!spin_until([this] { return door_.load() == 0; })) std::this_thread::yield();
    end_ = Clock::now();
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

  // Where calls follow one another it does, once for all of them.
  bool pays_to_wake(Clock::time_point start) {
    if (start - end_ < patience) return true;
    work(1);
    return (Clock::now() - start) * std::int64_t(parts_ - 1) > std::chrono::nanoseconds(worth_waking.load());
  }

  void wake() {
    {
      const std::lock_guard lock(bedroom_);  // whoever is about to fall asleep does so before being woken up
      const int here = current_processor();
      for (Sleeper* sleeper : sleepers_) sleeper->keep_off(here);
    }
    wake_up_.notify_all();
  }

  std::uint32_t await(std::uint32_t heard, Sleeper& self) {
    if (!spin_until([&] { return bell_.load() != heard; })) {
      self.roam();
      std::unique_lock lock(bedroom_);
      sleepers_.push_back(&self);
      asleep_.fetch_add(1);
      wake_up_.wait(lock, [&] { return bell_.load() != heard; });
      asleep_.fetch_sub(1);
      sleepers_.erase(std::find(sleepers_.begin(), sleepers_.end(), &self));
    }
    return bell_.load();
  }

  bool enter() {
    for (std::uint32_t inside = door_.load(); inside & open;)
      if (door_.compare_exchange_weak(inside, inside + 1)) return true;
    return false;
  }

  void serve(int index, std::uint32_t heard) {
    Sleeper self;
    for (;;) {
      heard = await(heard, self);
      if (!enter()) continue;
      if (index < helpers_) work();
      door_.fetch_sub(1);
    }
  }

  void work(std::size_t most = SIZE_MAX) {
    for (std::size_t i; most-- && (i = next_.fetch_add(1, std::memory_order_relaxed)) < parts_;) part_(context_, i);
  }

  std::mutex in_use_;
  int started_ = 0;
  Clock::time_point end_;  // of the last job

  void (*part_)(const void*, std::size_t) = nullptr;
  const void* context_ = nullptr;
  std::size_t parts_ = 0;
  int helpers_ = 0;

  alignas(64) std::atomic<std::size_t> next_{0};
  alignas(64) std::atomic<std::uint32_t> door_{0};
  alignas(64) std::atomic<std::uint32_t> bell_{0};
  std::atomic<int> asleep_{0};
  std::mutex bedroom_;
  std::vector<Sleeper*> sleepers_;
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

void set_worth_waking(std::size_t nanoseconds) { worth_waking.store(std::int64_t(nanoseconds)); }

void run_parts(std::size_t parts, void (*part)(const void*, std::size_t), const void* context) {
  const int threads = int(std::min(std::size_t(thread_count()), parts));
  if (threads > 1 && pool().run(threads, parts, part, context)) return;
  for (std::size_t i = 0; i < parts; ++i) part(context, i);
}

}  // namespace halfwave
