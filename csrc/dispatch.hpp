// Which instruction set computes.
#pragma once

#include <span>
#include <string>

#include "table.hpp"

namespace halfwave {

// Those that this program was built with and this CPU and operating system can execute, the best one first.
std::span<const InstructionSet* const> supported_instruction_sets();

const InstructionSet& current_instruction_set();

// Throws std::invalid_argument, naming `source` and the allowed values, for a name that is not supported here.
void use_instruction_set(const std::string& name, const char* source);

}  // namespace halfwave
