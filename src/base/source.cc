#include <cstring>

#include "cairn/store.h"

namespace cairn {

Result<void> BytesSource::read_at(std::uint64_t offset, std::span<std::byte> into) const {
  if (offset > bytes_.size() || into.size() > bytes_.size() - offset) {
    return Error(ErrorKind::invalid, "a source was read past its end");
  }
  if (!into.empty()) std::memcpy(into.data(), bytes_.data() + offset, into.size());
  return {};
}

}  // namespace cairn
