// What this process may use of the machine.
#pragma once

#include <cstddef>

namespace halfwave {

// Processors: the least of affinity mask, cgroup quota and what there is; at least 1.
int available_processors();

// Bytes of cache beyond which data that this many threads work on is as good as in memory.
std::size_t cache_size(int threads);

}  // namespace halfwave
