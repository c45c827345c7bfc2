#include "store/what_lies_there.h"

#include <fmt/format.h>

#include <algorithm>

namespace cairn {
namespace {

constexpr std::uint64_t kCompareBytes = 1 << 20;
constexpr int kReadings = 4;

Result<bool> is_same(Store& store, std::string_view key, std::uint64_t offset, ByteView mine) {
  for (int reading = 0; reading < kReadings; ++reading) {
    CAIRN_ASSIGN(const Object theirs, store.get(key, offset, mine.size()));
    if (std::ranges::equal(theirs.bytes, mine)) return true;
  }
  return false;
}

Result<Lies> compare(Store& store, std::string_view key, const Source& mine) {
  CAIRN_ASSIGN(const ObjectInfo info, store.head(key));
  if (info.size_bytes != mine.size_bytes()) return Lies::other;
  Bytes piece;
  for (std::uint64_t at = 0; at < info.size_bytes; at += kCompareBytes) {
    piece.resize(std::min(kCompareBytes, info.size_bytes - at));
    CAIRN_TRY(mine.read_at(at, piece));
    CAIRN_ASSIGN(const bool same, is_same(store, key, at, piece));
    if (!same) return Lies::other;
  }
  return Lies::same;
}

}  // namespace

Result<Lies> what_lies_there(Store& store, std::string_view key, const Source& mine) {
  Result<Lies> found = compare(store, key, mine);
  if (found) return found;
  if (found.error().kind() == ErrorKind::not_found) return Lies::absent;
  return found.error().with(fmt::format("look at {}", key));
}

}  // namespace cairn
