// What must hold for any bytes at all that stand where a WAL, a WAL-index or a database header is expected. Run by
// libFuzzer (wal_fuzz.cc) and over the seeds by the ordinary tests (wal_fuzz_test.cc).
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"
#include "wal/wal.h"

namespace cairn::fuzz {

// How many frames are valid. Whatever is taken as valid must come out byte for byte when it is written again.
inline std::uint32_t walk_wal(ByteView wal) {
  const auto header = wal::parse_header(wal);
  if (!header) {
    CAIRN_CHECK(header.error().kind() == ErrorKind::corrupt);
    return 0;
  }
  CAIRN_CHECK(std::ranges::equal(wal::write_header(*header), wal.first(wal::kHeaderSize)));
  wal::Checksum sum = header->sum;
  const std::size_t frame_size = wal::kFrameHeaderSize + header->page_size;
  std::uint32_t valid = 0;
  for (std::size_t at = wal::kHeaderSize; at < wal.size(); at += frame_size) {
    CAIRN_CHECK(at == wal::frame_offset(FrameNo(valid + 1), header->page_size));
    const ByteView frame = wal.subspan(at, std::min(frame_size, wal.size() - at));
    const auto found = wal::check_frame(*header, sum, frame);
    if (!found) break;
    ++valid;
    const auto again = wal::write_frame_header(*header, found->page, found->commit_page_count,
                                               frame.subspan(wal::kFrameHeaderSize), sum);
    CAIRN_CHECK(std::ranges::equal(again, frame.first(wal::kFrameHeaderSize)));
    CAIRN_CHECK(sum == found->sum);
  }
  return valid;
}

// Random bytes hardly ever have the right sums. So a sound WAL is made of them, which must be taken whole; and when one
// byte of it changes, the WAL must end right before the frame with that byte.
inline void make_and_damage(ByteView bytes) {
  if (bytes.size() < 16) return;
  const auto pick = [&](std::size_t at) { return std::to_integer<std::uint32_t>(bytes[at]); };
  wal::Header header;
  header.order = pick(0) % 2 == 0 ? wal::ByteOrder::little : wal::ByteOrder::big;
  header.page_size = 512u << (pick(0) / 2 % 3);
  header.salts = {load_be32(bytes.data() + 4), load_be32(bytes.data() + 8)};
  const auto head = wal::write_header(header);
  Bytes made(head.begin(), head.end());
  wal::Checksum sum = wal::parse_header(head).value().sum;
  const std::uint32_t frames = 1 + pick(1) % 4;
  Bytes page(header.page_size);
  for (std::uint32_t n = 0; n < frames; ++n) {
    for (std::size_t i = 0; i < page.size(); ++i) page[i] = bytes[(n * page.size() + i) % bytes.size()];
    const auto frame_head = wal::write_frame_header(header, PageNo(1 + pick(2)), pick(3) % 2, page, sum);
    made.insert(made.end(), frame_head.begin(), frame_head.end());
    made.insert(made.end(), page.begin(), page.end());
  }
  CAIRN_CHECK(walk_wal(made) == frames);

  const std::size_t at = load_le<std::uint32_t>(bytes.data() + 12) % made.size();
  made[at] ^= static_cast<std::byte>(1 + pick(3) % 255);
  const std::size_t frame_size = wal::kFrameHeaderSize + header.page_size;
  const std::size_t sound = at < wal::kHeaderSize ? 0 : (at - wal::kHeaderSize) / frame_size;
  CAIRN_CHECK(walk_wal(made) == sound);
}

inline void check_index(const std::array<std::uint32_t, wal::kIndexBytes / 4>& words) {
  wal::IndexHeader index;
  if (wal::read_index(words.data(), index) != wal::IndexState::ok) {
    CAIRN_CHECK(index == wal::IndexHeader{});
    return;
  }
  CAIRN_CHECK(index.page_size == 0 || (index.page_size >= 512 && index.page_size <= 65536));
  CAIRN_CHECK(index.page_size != 0 || index.max_frame.value == 0);
  CAIRN_CHECK(std::equal(words.begin(), words.begin() + 12, words.begin() + 12));
}

// As it is, and with the second copy and the sum put right.
inline void read_index_of(ByteView bytes) {
  std::array<std::uint32_t, wal::kIndexBytes / 4> words{};
  std::memcpy(words.data(), bytes.data(), std::min(bytes.size(), sizeof words));
  check_index(words);
  words[0] = 3007000;
  const auto sum = wal::checksum(wal::ByteOrder::little, {}, std::as_bytes(std::span(words)).first(40));
  words[10] = sum.first;
  words[11] = sum.second;
  std::copy_n(words.begin(), 12, words.begin() + 12);
  check_index(words);
}

inline void fuzz_wal(ByteView bytes) {
  walk_wal(bytes);
  make_and_damage(bytes);
  read_index_of(bytes);
  const auto database = wal::parse_database_header(bytes);
  CAIRN_CHECK(database || database.error().kind() == ErrorKind::invalid);
}

}  // namespace cairn::fuzz
