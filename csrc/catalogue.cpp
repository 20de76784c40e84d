#include "catalogue.hpp"

#include "activations/list.hpp"

namespace halfwave {
namespace {

template <class... Activations>
std::span<const Info> infos(activations::List<Activations...>) {
  static constexpr Info table[] = {Activations::info...};
  return table;
}

}  // namespace

std::span<const Info> catalogue() { return infos(activations::Catalogue{}); }

}  // namespace halfwave
