#include "segment/tail_end.h"

#include <fmt/format.h>

#include <cstring>

#include "base/bytes.h"
#include "base/check.h"
#include "base/errors.h"
#include "segment/running_hash.h"

namespace cairn::segment {
namespace {

constexpr std::uint32_t kMaxTailBytes = 64 * 1024;  // of any version to come

// The tail's checksum, with its own field read as zero. A tail is at least kTailEndBytes long.
std::uint64_t tail_checksum(ByteView tail) {
  constexpr std::array<std::byte, sizeof(std::uint64_t)> kZero{};
  const ByteView end = tail.last(kTailEndBytes);
  RunningHash hash;
  hash.add(tail.first(tail.size() - end.size()));
  hash.add(kZero);
  hash.add(end.subspan(kZero.size()));
  return hash.value();
}

}  // namespace

void seal_tail(std::span<std::byte> tail, std::uint16_t version, const TailMagic& magic) {
  CAIRN_CHECK(tail.size() >= kTailEndBytes && tail.size() <= kMaxTailBytes);
  std::byte* end = tail.data() + tail.size() - kTailEndBytes;
  std::memset(end, 0, kTailEndBytes);
  store_le(end + 8, static_cast<std::uint32_t>(tail.size()));
  store_le(end + 14, version);
  std::memcpy(end + 16, magic.data(), magic.size());
  store_le(end, tail_checksum(tail));
}

Result<TailEnd> parse_tail_end(std::span<const std::byte, kTailEndBytes> end, const TailMagic& magic) {
  if (std::memcmp(end.data() + 16, magic.data(), magic.size()) != 0)
    return damaged("it has no Cairn footer in front of its seek table");
  TailEnd result;
  result.tail_bytes = load_le<std::uint32_t>(end.data() + 8);
  result.version = load_le<std::uint16_t>(end.data() + 14);
  if (result.tail_bytes < kTailEndBytes || result.tail_bytes > kMaxTailBytes)
    return damaged("the size of its footer cannot be");
  return result;
}

Result<TailEnd> check_tail_end(ByteView tail, std::uint16_t newest, const TailMagic& magic) {
  CAIRN_ASSIGN(const TailEnd end, parse_tail_end(tail.last<kTailEndBytes>(), magic));
  if (tail_checksum(tail) != load_le<std::uint64_t>(tail.data() + tail.size() - kTailEndBytes))
    return damaged("the checksum of its footer is wrong");
  if (end.version > newest) {
    return Error(ErrorKind::unsupported, fmt::format("was written by a newer Cairn (format {}); this one reads up to "
                                                     "{}: update Cairn", end.version, newest));
  }
  if (end.version == 0) return damaged("its footer is of no known format");
  return end;
}

}  // namespace cairn::segment
