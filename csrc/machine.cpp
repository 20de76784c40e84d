#include "machine.hpp"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>

#if defined(__linux__)
#include <sched.h>
#include <unistd.h>
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#elif defined(_WIN32)
#define NOMINMAX
#include <windows.h>

#include <vector>
#endif

namespace halfwave {
namespace {

#if defined(__linux__)

// Processors by the quota of this process's control group and of those above it; infinite where there is none.
double quota_processors() {
  double least = INFINITY;
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    // hierarchy:controllers:path, where version 2 names no controllers
    const std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const bool unified = controllers == ",,";
    if (!unified && controllers.find(",cpu,") == std::string::npos) continue;
    const std::string root = unified ? "/sys/fs/cgroup" : "/sys/fs/cgroup/cpu";
    for (std::string path = line.substr(second + 1);; path.resize(path.rfind('/'))) {
      if (path == "/") path.clear();
      double quota = 0, period = 0;
      if (unified)
        std::ifstream(root + path + "/cpu.max") >> quota >> period;
      else if (std::ifstream(root + path + "/cpu.cfs_quota_us") >> quota)
        std::ifstream(root + path + "/cpu.cfs_period_us") >> period;
      if (quota > 0 && period > 0) least = std::min(least, quota / period);
      if (path.find('/') == std::string::npos) break;
    }
  }
  return least;
}

int affine_processors() {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : int(std::thread::hardware_concurrency());
}

// The last level, and the level that each core has for itself; 0 where the machine does not tell.
struct Caches {
  std::size_t last = 0, own = 0;
};

std::size_t size_or_zero(int name) { return std::size_t(std::max(0L, sysconf(name))); }

Caches caches() {
#if defined(_SC_LEVEL3_CACHE_SIZE)
  const std::size_t l2 = size_or_zero(_SC_LEVEL2_CACHE_SIZE);
  std::size_t l3 = size_or_zero(_SC_LEVEL3_CACHE_SIZE), kilobytes = 0;
  // The C library may add up what several groups of cores have; the kernel tells what one of them shares.
  if (std::ifstream("/sys/devices/system/cpu/cpu0/cache/index3/size") >> kilobytes) l3 = std::min(l3, kilobytes << 10);
  return l3 ? Caches{l3, l2} : Caches{l2, 0};
#else
  return {};
#endif
}

#else

double quota_processors() { return INFINITY; }
int affine_processors() { return int(std::thread::hardware_concurrency()); }

struct Caches {
  std::size_t last = 0, own = 0;
};

#if defined(__APPLE__)
std::size_t setting(const char* name) {
  std::size_t value = 0, size = sizeof value;
  return sysctlbyname(name, &value, &size, nullptr, 0) == 0 ? value : 0;
}
Caches caches() {
  const std::size_t performance = setting("hw.perflevel0.l2cachesize");
  return {performance ? performance : setting("hw.l2cachesize"), 0};
}
#elif defined(_WIN32)
Caches caches() {
  DWORD bytes = 0;
  GetLogicalProcessorInformation(nullptr, &bytes);
  std::vector<SYSTEM_LOGICAL_PROCESSOR_INFORMATION> entries(bytes / sizeof(SYSTEM_LOGICAL_PROCESSOR_INFORMATION));
  if (!GetLogicalProcessorInformation(entries.data(), &bytes)) return {};
  std::size_t sizes[4] = {};
  for (const auto& entry : entries)
    if (entry.Relationship == RelationCache && entry.Cache.Level < 4)
      sizes[entry.Cache.Level] = std::max(sizes[entry.Cache.Level], std::size_t(entry.Cache.Size));
  return sizes[3] ? Caches{sizes[3], sizes[2]} : Caches{sizes[2], 0};
}
#else
Caches caches() { return {}; }
#endif

#endif

}  // namespace

int available_processors() {
  return std::max(1, int(std::min(double(affine_processors()), std::ceil(quota_processors()))));
}

std::size_t cache_size(int threads) {
  constexpr std::size_t usual = std::size_t(32) << 20;
  static const Caches found = caches();
  if (!found.last) return usual;
  // A virtual machine reports the whole last level of a server of which it has a few cores. What those that work can count
  // on is seldom more than sixteen times their own level, and of all of it others have a part.
  const std::size_t share = 16 * found.own * std::size_t(threads), most = found.last / 4 * 3;
  return share ? std::min(most, share) : most;
}

}  // namespace halfwave
