#include "wal/wal.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "base/bytes.h"

namespace cairn::wal {
namespace {

// The checksum as SQLite's format document describes it, a word at a time: slow and obvious, the judge of the fast one.
Checksum slow_checksum(ByteOrder order, Checksum sum, ByteView bytes) {
  const auto word = [&](std::size_t at) {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < 4; ++i) {
      const std::size_t shift = order == ByteOrder::big ? 24 - 8 * i : 8 * i;
      value |= std::to_integer<std::uint32_t>(bytes[at + i]) << shift;
    }
    return value;
  };
  for (std::size_t at = 0; at < bytes.size(); at += 8) {
    sum.first += word(at) + sum.second;
    sum.second += word(at + 4) + sum.first;
  }
  return sum;
}

Bytes noise(std::size_t size, std::uint32_t seed) {
  Bytes bytes(size);
  for (auto& b : bytes) {
    seed = seed * 1664525 + 1013904223;
    b = static_cast<std::byte>(seed >> 24);
  }
  return bytes;
}

Header example_header(ByteOrder order, std::uint32_t page_size) {
  Header header{.order = order, .page_size = page_size, .checkpoint_sequence = 7, .salts = {0xfffffffe, 3}, .sum = {}};
  const auto bytes = write_header(header);
  header.sum = slow_checksum(order, {}, ByteView(bytes).first(24));
  return header;
}

Bytes example_frame(const Header& header, PageNo page, std::uint32_t commit, Checksum& sum) {
  const Bytes content = noise(header.page_size, page.value);
  const auto head = write_frame_header(header, page, commit, content, sum);
  Bytes frame(head.size() + content.size());
  std::ranges::copy(head, frame.begin());
  std::ranges::copy(content, frame.begin() + kFrameHeaderSize);
  return frame;
}

TEST(Checksum, EqualsTheSlowReadingInBothByteOrders) {
  for (const auto order : {ByteOrder::little, ByteOrder::big}) {
    for (const std::size_t size : {8u, 16u, 24u, 512u, 4096u, 65536u}) {
      const Bytes bytes = noise(size, static_cast<std::uint32_t>(size));
      const Checksum seed{0x89abcdef, 0xfedcba98};
      EXPECT_EQ(checksum(order, seed, bytes), slow_checksum(order, seed, bytes)) << size;
    }
  }
}

TEST(Checksum, CarriesOnFromWhatCameBefore) {
  const Bytes bytes = noise(4096, 1);
  const Checksum half = checksum(ByteOrder::little, {}, ByteView(bytes).first(1024));
  EXPECT_EQ(checksum(ByteOrder::little, half, ByteView(bytes).subspan(1024)), checksum(ByteOrder::little, {}, bytes));
}

TEST(Checksum, OfNothingIsTheSeed) {
  EXPECT_EQ(checksum(ByteOrder::big, {1, 2}, {}), (Checksum{1, 2}));
}

TEST(WalHeader, WrittenThenParsedIsTheSame) {
  for (const auto order : {ByteOrder::little, ByteOrder::big}) {
    for (std::uint32_t page_size = 512; page_size <= 65536; page_size *= 2) {
      const Header header = example_header(order, page_size);
      const auto parsed = parse_header(write_header(header));
      ASSERT_TRUE(parsed);
      EXPECT_EQ(*parsed, header);
    }
  }
}

TEST(WalHeader, R1_TheEvenMagicMeansLittleEndianSums) {
  const auto bytes = write_header(example_header(ByteOrder::little, 4096));
  EXPECT_EQ(load_be32(bytes.data()), 0x377f0682u);
  const auto big = write_header(example_header(ByteOrder::big, 4096));
  EXPECT_EQ(load_be32(big.data()), 0x377f0683u);
}

TEST(WalHeader, ABitFlipInAnyByteIsCorrupt) {
  const auto good = write_header(example_header(ByteOrder::little, 4096));
  for (std::size_t at = 0; at < good.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      auto bad = good;
      bad[at] ^= static_cast<std::byte>(1 << bit);
      const auto parsed = parse_header(bad);
      ASSERT_FALSE(parsed) << at << " " << bit;
      EXPECT_EQ(parsed.error().kind(), ErrorKind::corrupt);
    }
  }
}

TEST(WalHeader, R12_APageSizeThatIsNoPowerOfTwoIsCorruptThoughItsSumIsRight) {
  for (const std::uint32_t size : {0u, 1u, 256u, 513u, 4095u, 65535u, 131072u, 0x80000000u}) {
    EXPECT_FALSE(parse_header(write_header(example_header(ByteOrder::little, size)))) << size;
  }
}

TEST(WalHeader, R2_AnAllZeroSumIsNotTakenOnTrust) {
  auto bytes = write_header(example_header(ByteOrder::little, 4096));
  std::fill(bytes.begin() + 24, bytes.end(), std::byte{0});
  EXPECT_FALSE(parse_header(bytes));
}

TEST(WalHeader, FewerThanAllBytesIsCorrupt) {
  const auto bytes = write_header(example_header(ByteOrder::little, 4096));
  for (std::size_t size = 0; size < kHeaderSize; ++size) EXPECT_FALSE(parse_header(ByteView(bytes).first(size)));
}

TEST(WalFrame, WrittenThenCheckedIsTheSame) {
  for (const auto order : {ByteOrder::little, ByteOrder::big}) {
    const Header header = example_header(order, 1024);
    Checksum written = header.sum;
    Checksum read = header.sum;
    for (std::uint32_t page = 1; page <= 5; ++page) {
      const Bytes frame = example_frame(header, PageNo(page), page == 5 ? 9 : 0, written);
      const auto found = check_frame(header, read, frame);
      ASSERT_TRUE(found);
      EXPECT_EQ(found->page, PageNo(page));
      EXPECT_EQ(found->commit_page_count, page == 5 ? 9u : 0u);
      EXPECT_EQ(found->salts, header.salts);
      EXPECT_EQ(found->sum, written);
      read = found->sum;
    }
  }
}

TEST(WalFrame, ABitFlipInAnyByteIsNotPartOfTheWal) {
  const Header header = example_header(ByteOrder::little, 512);
  Checksum sum = header.sum;
  const Bytes good = example_frame(header, PageNo(3), 3, sum);
  ASSERT_TRUE(check_frame(header, header.sum, good));
  for (std::size_t at = 0; at < good.size(); ++at) {
    Bytes bad = good;
    bad[at] ^= std::byte{0x40};
    EXPECT_FALSE(check_frame(header, header.sum, bad)) << at;
  }
}

TEST(WalFrame, R2_OtherSaltsAreNotPartOfTheWalThoughTheSumIsRight) {
  const Header header = example_header(ByteOrder::little, 512);
  Header other = header;
  other.salts.second += 1;
  Checksum sum = header.sum;
  const Bytes frame = example_frame(other, PageNo(3), 3, sum);
  EXPECT_FALSE(check_frame(header, header.sum, frame));
  EXPECT_TRUE(check_frame(other, header.sum, frame));
}

TEST(WalFrame, BehindAnotherFrameItIsNotPartOfTheWal) {
  const Header header = example_header(ByteOrder::little, 512);
  Checksum sum = header.sum;
  const Bytes first = example_frame(header, PageNo(1), 0, sum);
  const Bytes second = example_frame(header, PageNo(2), 2, sum);
  EXPECT_FALSE(check_frame(header, header.sum, second));
}

TEST(WalFrame, R12_PageZeroIsNotValidThoughItsSumIsRight) {
  const Header header = example_header(ByteOrder::little, 512);
  Bytes frame(kFrameHeaderSize + 512);
  store_be32(frame.data() + 8, header.salts.first);
  store_be32(frame.data() + 12, header.salts.second);
  Checksum sum = slow_checksum(header.order, header.sum, ByteView(frame).first(8));
  sum = slow_checksum(header.order, sum, ByteView(frame).subspan(kFrameHeaderSize));
  store_be32(frame.data() + 16, sum.first);
  store_be32(frame.data() + 20, sum.second);
  EXPECT_FALSE(check_frame(header, header.sum, frame));
}

TEST(WalFrame, AFrameCutShortIsNotPartOfTheWal) {
  const Header header = example_header(ByteOrder::little, 512);
  Checksum sum = header.sum;
  const Bytes frame = example_frame(header, PageNo(3), 3, sum);
  for (std::size_t size = 0; size < frame.size(); ++size) {
    EXPECT_FALSE(check_frame(header, header.sum, ByteView(frame).first(size)));
  }
}

TEST(WalFrame, OffsetsGoPastFourGibibytes) {
  EXPECT_EQ(frame_offset(FrameNo(1), 4096), 32u);
  EXPECT_EQ(frame_offset(FrameNo(2), 4096), 32u + 4120u);
  EXPECT_EQ(frame_offset(FrameNo(0xffffffff), 65536), 32u + 0xfffffffeull * 65560u);
}

Bytes database_header(std::uint16_t page_size_field, int read_version, int write_version) {
  Bytes bytes(100);
  const std::string_view magic("SQLite format 3\0", 16);
  std::copy_n(as_bytes(magic).begin(), 16, bytes.begin());
  bytes[16] = static_cast<std::byte>(page_size_field >> 8);
  bytes[17] = static_cast<std::byte>(page_size_field & 0xff);
  bytes[18] = static_cast<std::byte>(write_version);
  bytes[19] = static_cast<std::byte>(read_version);
  store_be32(bytes.data() + 28, 12);
  store_be32(bytes.data() + 96, 3040001);
  return bytes;
}

TEST(DatabaseHeader, TellsPageSizeModeSizeAndLibrary) {
  const auto header = parse_database_header(database_header(4096, 2, 2));
  ASSERT_TRUE(header);
  EXPECT_EQ(header->page_size, 4096u);
  EXPECT_TRUE(header->wal_mode);
  EXPECT_EQ(header->page_count, 12u);
  EXPECT_EQ(header->sqlite_version, 3040001u);
}

TEST(DatabaseHeader, PageSizeOneMeans65536) {
  EXPECT_EQ(parse_database_header(database_header(1, 2, 2))->page_size, 65536u);
}

TEST(DatabaseHeader, WalModeNeedsBothVersions) {
  EXPECT_FALSE(parse_database_header(database_header(4096, 1, 1))->wal_mode);
  EXPECT_FALSE(parse_database_header(database_header(4096, 1, 2))->wal_mode);
  EXPECT_FALSE(parse_database_header(database_header(4096, 2, 1))->wal_mode);
}

TEST(DatabaseHeader, WhatIsNotADatabaseIsInvalid) {
  EXPECT_EQ(parse_database_header({}).error().kind(), ErrorKind::invalid);
  EXPECT_EQ(parse_database_header(noise(100, 5)).error().kind(), ErrorKind::invalid);
  EXPECT_EQ(parse_database_header(Bytes(4096)).error().kind(), ErrorKind::invalid);
  Bytes cut = database_header(4096, 2, 2);
  cut.resize(99);
  EXPECT_EQ(parse_database_header(cut).error().kind(), ErrorKind::invalid);
  for (const std::uint16_t size : std::initializer_list<std::uint16_t>{0, 2, 256, 511, 1000, 65535}) {
    EXPECT_EQ(parse_database_header(database_header(size, 2, 2)).error().kind(), ErrorKind::invalid) << size;
  }
}

TEST(WalResetBug, IsKnownByTheLibrarysVersion) {
  const std::vector<std::uint32_t> vulnerable = {3007000, 3008011, 3040001, 3044000, 3044005, 3045000, 3046001,
                                                 3049002, 3050000, 3050006, 3051000, 3051002};
  const std::vector<std::uint32_t> sound = {0,       3006023, 3044006, 3044007, 3050007, 3050008,
                                            3051003, 3052000, 3053000, 4000000};
  for (const auto version : vulnerable) EXPECT_TRUE(has_wal_reset_bug(version)) << version;
  for (const auto version : sound) EXPECT_FALSE(has_wal_reset_bug(version)) << version;
}

}  // namespace
}  // namespace cairn::wal
