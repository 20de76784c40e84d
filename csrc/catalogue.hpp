#pragma once

#include <span>

#include "activations/info.hpp"

namespace halfwave {

// What every activation says of itself, in the order of InstructionSet::rows.
std::span<const Info> catalogue();

}  // namespace halfwave
