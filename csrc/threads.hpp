// The threads over which large calls are spread.
#pragma once

#include <cstddef>

namespace halfwave {

// How many threads a call may use, the caller's own included: what was set last, at first the available
// processors.
int thread_count();
void set_thread_count(int n);

// Calls part(context, i) once for each i < parts, on this thread and up to thread_count() - 1 others, and returns when
// all are done. While another thread is at it, this one does all parts by itself: whoever brings threads of their own is
// not given more of them. The others start when first needed, and anew in a forked child. Those that sleep are woken up if
// that pays.
void run_parts(std::size_t parts, void (*part)(const void* context, std::size_t i), const void* context);

// How long the rest of a single call must take for that, in nanoseconds; for tests.
void set_worth_waking(std::size_t nanoseconds);

template <class F>
void parallel(std::size_t parts, const F& f) {
  run_parts(parts, [](const void* context, std::size_t i) { (*static_cast<const F*>(context))(i); }, &f);
}

}  // namespace halfwave
