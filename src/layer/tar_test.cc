#include "layer/tar.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "layer/tar_fields.h"
#include "layer/test_entries.h"

namespace cairn::layer {
namespace {

using testing::entry_of;
using testing::file_of;
using testing::link_of;

std::string text_of(const Entry& entry) {
  const auto bytes = write_tar_header(entry);
  EXPECT_TRUE(bytes) << bytes.error().message();
  return bytes ? std::string(as_text(*bytes)) : std::string();
}

// Written, read, compared; the header must be whole blocks.
void expect_round_trip(const Entry& entry) {
  const auto bytes = write_tar_header(entry);
  ASSERT_TRUE(bytes) << bytes.error().message();
  EXPECT_EQ(bytes->size() % kTarBlockBytes, 0u);
  EXPECT_EQ(*write_tar_header(entry), *bytes);
  const auto header = parse_tar_header(*bytes);
  ASSERT_TRUE(header) << header.error().message();
  ASSERT_TRUE(header->has_value()) << "cut short";
  EXPECT_EQ((*header)->entry, entry) << entry.path;
  EXPECT_EQ((*header)->header_bytes, bytes->size());
}

std::vector<Entry> entries_of_every_kind() {
  std::vector<Entry> entries{entry_of(EntryKind::directory, ""),          entry_of(EntryKind::directory, "d"),
                             entry_of(EntryKind::opaque, "d"),            entry_of(EntryKind::opaque, ""),
                             file_of("d/f", 12),                          link_of(EntryKind::symlink, "s", "../x"),
                             link_of(EntryKind::hard_link, "d/h", "d/f"), entry_of(EntryKind::fifo, "p"),
                             entry_of(EntryKind::whiteout, "d/gone"),     entry_of(EntryKind::whiteout, "gone")};
  for (const EntryKind kind : {EntryKind::char_device, EntryKind::block_device}) {
    entries.push_back(entry_of(kind, "dev"));
    entries.back().dev_major = 4095;
    entries.back().dev_minor = 1048575;
  }
  return entries;
}

TEST(Tar, EveryKindComesBack) {
  for (const Entry& entry : entries_of_every_kind()) expect_round_trip(entry);
}

TEST(Tar, EveryFieldComesBack) {
  for (Entry entry : entries_of_every_kind()) {
    for (const std::uint32_t mode : {0u, 07777u, 04755u}) {
      for (const std::uint32_t id : {0u, 1000u, 2097151u, 2097152u, 4294967295u}) {
        entry.mode = mode;
        entry.uid = id;
        entry.gid = id / 2;
        expect_round_trip(entry);
      }
    }
    entry.xattrs = {{"security.capability", std::string("\1\0\0\2\0\0", 6)}, {"user.empty", ""},
                    {"user.eq=per%cent%3D", "=\n1 a=b\n"}, {"user.large", std::string(65536, '\xff')}};
    expect_round_trip(entry);
  }
}

TEST(Tar, WhatAnUpperDirectoryHasBesidesComesBack) {
  Entry entry = entry_of(EntryKind::directory, "d");
  entry.xattrs = {{"trusted.overlay.x", "1"}, {"user.overlay.x", "2"}};
  for (const Escaped escaped : {Escaped::trusted, Escaped::user, Escaped::both}) {
    entry.escaped = escaped;
    expect_round_trip(entry);
  }
  EXPECT_NE(text_of(entry).find("comment=cairn escaped=both\n"), std::string::npos);
  for (const Mark mark : {Mark::file, Mark::fuse, Mark::xattr_file, Mark::user_file, Mark::fuse_file}) {
    entry.mark = mark;
    expect_round_trip(entry);
  }
  entry = entry_of(EntryKind::fifo, "p");
  for (const char* name : {"user.fuseoverlayfs.override_stat", "user.containers.override_stat",
                           "security.fuseoverlayfs.override_stat"}) {
    entry.stored_owner = StoredOwner{name, "5:6:10644:pipe", 1000, 4294967295u, 0100600};
    expect_round_trip(entry);
  }
  EXPECT_NE(text_of(entry).find("comment=cairn owner=privileged/5%3A6%3A10644%3Apipe/1000/4294967295/100600\n"),
            std::string::npos);
}

TEST(Tar, WhatNoUpperDirectoryHasIsRefused) {
  const auto expect_refused = [](const Entry& entry, const char* why) {
    const auto bytes = write_tar_header(entry);
    ASSERT_FALSE(bytes) << why;
    EXPECT_EQ(bytes.error().kind(), ErrorKind::invalid);
    EXPECT_NE(bytes.error().message().find(why), std::string::npos) << bytes.error().message();
  };
  Entry escaped = file_of("f", 0);
  escaped.escaped = Escaped::user;
  expect_refused(escaped, "no attributes that are escaped");
  escaped.xattrs = {{"user.overlay.x", "1"}};
  EXPECT_TRUE(write_tar_header(escaped));
  escaped.escaped = Escaped::both;  // the same can be said with less
  expect_refused(escaped, "no attributes that are escaped");

  Entry kept = file_of("f", 0);
  kept.stored_owner = StoredOwner{"user.containers.override_stat", "0:0:644", 1, 1, 0100644};
  EXPECT_TRUE(write_tar_header(kept));
  kept.stored_owner->mode = 040755;
  expect_refused(kept, "its kind is not one");
  kept.stored_owner = StoredOwner{"user.other", "0:0:644", 1, 1, 0100644};
  expect_refused(kept, "the attribute that keeps its owner");
  Entry link = link_of(EntryKind::hard_link, "g", "f");
  link.stored_owner = StoredOwner{"user.containers.override_stat", "0:0:644", 1, 1, 0100644};
  expect_refused(link, "none of its own");
  Entry gone = entry_of(EntryKind::whiteout, "g");
  gone.mark = Mark::xattr_file;
  expect_refused(gone, "two marks");
}

TEST(Tar, TimesOfAllSizesAndSignsComeBack) {
  constexpr std::int64_t kMin = std::numeric_limits<std::int64_t>::min();
  constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
  for (const std::int64_t seconds : {std::int64_t{0}, std::int64_t{-1}, std::int64_t{-2}, std::int64_t{1} << 33,
                                     (std::int64_t{1} << 33) - 1, kMin, kMin + 1, kMax}) {
    for (const std::uint32_t nanoseconds : {0u, 1u, 500'000'000u, 999'999'999u}) {
      Entry entry = file_of("f", 0);
      entry.mtime_s = seconds;
      entry.mtime_ns = nanoseconds;
      expect_round_trip(entry);
    }
  }
  EXPECT_EQ(pax_time(-2, 750'000'000), "-1.25");
  EXPECT_EQ(pax_time(-1, 500'000'000), "-0.5");
  EXPECT_EQ(pax_time(7, 10), "7.00000001");
}

TEST(Tar, NamesOfAnyBytesComeBack) {
  std::string every_byte;
  for (int c = 1; c < 256; ++c) {
    if (c != '/') every_byte.push_back(static_cast<char>(c));
  }
  std::string deep;
  while (deep.size() + 200 < 4096) deep += std::string(199, 'n') + "/";
  deep += std::string(4096 - deep.size(), 'z');
  ASSERT_EQ(deep.size(), 4096u);
  for (const std::string& name :
       {every_byte, deep, std::string("a=b"), std::string("a%3Db"), std::string("line\nline"), std::string("\xff\xfe"),
        std::string("gr\xc3\xbc\xc3\x9f"), std::string(100, 'x'), std::string(101, 'x'), std::string(200, '\xe9'),
        std::string(" "), std::string("a/ b /c")}) {
    expect_round_trip(file_of(name, 3));
    expect_round_trip(entry_of(EntryKind::directory, name));
    if (name.size() < 4096) {
      expect_round_trip(link_of(EntryKind::symlink, "link", name));
      expect_round_trip(link_of(EntryKind::hard_link, name + "z", name));
    }
  }
}

TEST(Tar, SizesBeyondEightGiBComeBack) {
  for (const std::uint64_t size : {(1ull << 33) - 1, 1ull << 33, 10ull << 40}) expect_round_trip(file_of("f", size));
}

TEST(Tar, WhatOnlyCairnNeedsComesBack) {
  for (const Mark mark : {Mark::device, Mark::xattr, Mark::user, Mark::file, Mark::fuse}) {
    for (const EntryKind kind : {EntryKind::whiteout, EntryKind::opaque, EntryKind::directory}) {
      Entry entry = entry_of(kind, "x");
      entry.mark = mark;
      expect_round_trip(entry);
    }
  }
  Entry sparse = file_of("s", 10ull << 30);
  sparse.holes = {{0, 4096}, {8192, 1}, {10ull << 29, 10ull << 29}};
  expect_round_trip(sparse);
  Entry directory = entry_of(EntryKind::directory, "d");
  directory.mark = Mark::xattr;
  directory.forgotten = {" ", "%", "a/b" + 2, "\xff\n"};
  std::ranges::sort(directory.forgotten);
  expect_round_trip(directory);
}

// A file that is really called so is never taken for a deletion: not by Cairn, not by an OCI tool.
TEST(Tar, NamesThatLookLikeDeletionsGetAnotherName) {
  for (const std::string name :
       {".wh.x", ".wh.", ".wh..wh..opq", ".cairn-name-x", ".cairn-name-.wh.x", "a/.wh.d/.wh.f"}) {
    expect_round_trip(file_of(name, 1));
    expect_round_trip(entry_of(EntryKind::directory, name));
    expect_round_trip(entry_of(EntryKind::whiteout, name));
    expect_round_trip(entry_of(EntryKind::opaque, name));
    expect_round_trip(link_of(EntryKind::hard_link, name + "2", name));
    for (const Entry& entry : {file_of(name, 1), entry_of(EntryKind::directory, name)}) {
      EXPECT_FALSE(("/" + tar_name(entry)).find("/.wh.") != std::string::npos) << tar_name(entry);
    }
  }
  EXPECT_EQ(tar_name(file_of(".wh.x", 1)), ".cairn-name-.wh.x");
  EXPECT_EQ(tar_name(entry_of(EntryKind::whiteout, "a/b")), "a/.wh.b");
  EXPECT_EQ(tar_name(entry_of(EntryKind::opaque, "a")), "a/.wh..wh..opq");
  // A symbolic link says what it says.
  EXPECT_NE(text_of(link_of(EntryKind::symlink, "s", ".wh.x")).find(".wh.x"), std::string::npos);
  EXPECT_EQ(text_of(link_of(EntryKind::symlink, "s", ".wh.x")).find(kNameEscape), std::string::npos);
}

TEST(Tar, OrdinaryEntriesAreOneBlock) {
  EXPECT_EQ(text_of(file_of("plain", 5)).size(), kTarBlockBytes);
  EXPECT_EQ(text_of(entry_of(EntryKind::directory, "usr/bin")).size(), kTarBlockBytes);
}

// Written once with this text, never to be changed: a layer's digest depends on it.
TEST(Tar, GoldenBytes) {
  Entry entry = file_of("d/gr\xc3\xbc\xc3\x9f", 3);
  entry.mode = 04755;
  entry.uid = 3'000'000;
  entry.gid = 8;
  entry.mtime_s = -2;
  entry.mtime_ns = 500'000'000;
  entry.xattrs = {{"user.a=b", std::string("\0\xff", 2)}, {"user.e", ""}};
  entry.holes = {{0, 2}};
  const std::string text = text_of(entry);
  ASSERT_EQ(text.size(), 3 * kTarBlockBytes);
  const std::string records = std::string("17 path=d/gr\xc3\xbc\xc3\x9f\n") + "15 uid=3000000\n" + "14 mtime=-1.5\n" +
                              std::string("30 SCHILY.xattr.user.a%3Db=\0\xff\n", 30) + "24 SCHILY.xattr.user.e=\n" +
                              "27 comment=cairn holes=0+2\n";
  EXPECT_EQ(text.substr(512, records.size()), records);
  EXPECT_EQ(text.substr(512 + records.size()).find_first_not_of('\0'), 512 - records.size());

  const auto field = [&](std::size_t block, std::size_t at, std::size_t size) {
    return text.substr(block * 512 + at, size);
  };
  EXPECT_EQ(field(0, 0, 11), std::string("PaxHeaders\0", 11));
  EXPECT_EQ(field(0, 100, 57), std::string("0000644\0" "0000000\0" "0000000\0" "00000000177\0" "00000000000\0"
                                           "011271\0 x", 57));
  EXPECT_EQ(field(2, 0, 10), std::string("d/gr\xc3\xbc\xc3\x9f\0\0", 10));
  EXPECT_EQ(field(2, 100, 57), std::string("0004755\0" "0000000\0" "0000010\0" "00000000003\0" "00000000000\0"
                                           "011325\0 0", 57));
  EXPECT_EQ(field(2, 257, 8), std::string("ustar\0" "00", 8));
}

TEST(Tar, RefusesWhatNoTarCanCarry) {
  std::vector<Entry> wrong;
  for (const char* path : {"/abs", "..", "a/../b", "a//b", "./a", "a/", ""}) wrong.push_back(file_of(path, 0));
  wrong.push_back(file_of(std::string("a\0b", 3), 0));
  wrong.push_back(file_of(std::string(4097, 'a'), 0));
  wrong.push_back(entry_of(EntryKind::whiteout, ""));
  wrong.push_back(link_of(EntryKind::symlink, "s", ""));
  wrong.push_back(link_of(EntryKind::symlink, "s", std::string(4096, 'a')));
  wrong.push_back(link_of(EntryKind::hard_link, "h", "../f"));
  wrong.push_back(link_of(EntryKind::hard_link, "h", "/etc/passwd"));
  wrong.push_back(link_of(EntryKind::hard_link, "h", "z"));  // the name with the contents comes first
  wrong.push_back(link_of(EntryKind::file, "f", "target"));
  const auto changed = [&](EntryKind kind, auto change) {
    Entry entry = entry_of(kind, "x");
    change(entry);
    wrong.push_back(std::move(entry));
  };
  changed(EntryKind::file, [](Entry& e) { e.mode = 010000; });
  changed(EntryKind::file, [](Entry& e) { e.mtime_ns = 1'000'000'000; });
  changed(EntryKind::directory, [](Entry& e) { e.size_bytes = 1; });
  changed(EntryKind::file, [](Entry& e) { e.dev_major = 1; });
  changed(EntryKind::char_device, [](Entry& e) { e.dev_minor = 010000000; });
  changed(EntryKind::file, [](Entry& e) { e.xattrs = {{"b", ""}, {"a", ""}}; });
  changed(EntryKind::file, [](Entry& e) { e.xattrs = {{"a", ""}, {"a", ""}}; });
  changed(EntryKind::file, [](Entry& e) { e.xattrs = {{"", ""}}; });
  changed(EntryKind::file, [](Entry& e) { e.xattrs = {{"a", std::string(65537, 'a')}}; });
  changed(EntryKind::file, [](Entry& e) { e.mark = Mark::device; });
  changed(EntryKind::file, [](Entry& e) { e.forgotten = {"a"}; });
  changed(EntryKind::directory, [](Entry& e) { e.forgotten = {"b", "a"}; });
  changed(EntryKind::directory, [](Entry& e) { e.forgotten = {"a/b"}; });
  changed(EntryKind::directory, [](Entry& e) { e.forgotten = {".."}; });
  changed(EntryKind::directory, [](Entry& e) { e.holes = {{0, 1}}; });
  for (const std::vector<Hole>& holes : {std::vector<Hole>{{0, 0}}, {{0, 5}, {5, 1}}, {{4, 2}, {0, 2}}, {{5, 6}},
                                         {{1, ~0ull}}, {{11, 1}}}) {
    wrong.push_back(file_of("f", 10));
    wrong.back().holes = holes;
  }
  for (const Entry& entry : wrong) {
    const auto bytes = write_tar_header(entry);
    ASSERT_FALSE(bytes) << entry.path;
    EXPECT_EQ(bytes.error().kind(), ErrorKind::invalid);
  }
}

TEST(Tar, AHeaderThatIsNotAllThereIsNothingYet) {
  Entry entry = file_of(std::string(300, 'n'), 0);
  entry.xattrs = {{"user.a", std::string(5000, 'v')}};
  const Bytes bytes = *write_tar_header(entry);
  for (std::size_t size = 0; size < bytes.size(); size += 100) {
    const auto header = parse_tar_header(ByteView(bytes).first(size));
    ASSERT_TRUE(header) << size;
    EXPECT_FALSE(header->has_value()) << size;
  }
  EXPECT_FALSE(parse_tar_header(Bytes(kTarBlockBytes))->has_value()) << "the end of an archive";
}

// A changed bit of a block is refused; one of a record is refused or says something else. Never are two spellings the
// same entry. (What the index has of a header is under a checksum besides.)
TEST(Tar, EveryFlippedBitIsNoticed) {
  Entry entry = file_of("d/n\xc3\xbc", 3);
  entry.mtime_ns = 5;
  entry.xattrs = {{"user.a", "value"}};
  entry.holes = {{0, 2}};
  const Bytes bytes = *write_tar_header(entry);
  for (std::size_t at = 0; at < bytes.size() * 8; ++at) {
    Bytes changed = bytes;
    changed[at / 8] ^= static_cast<std::byte>(1 << (at % 8));
    const auto header = parse_tar_header(changed);
    const bool in_records = at / 8 >= kTarBlockBytes && at / 8 < bytes.size() - kTarBlockBytes;
    if (in_records && header && header->has_value()) {
      EXPECT_NE((*header)->entry, entry) << "bit " << at;
      EXPECT_EQ(write_tar_header((*header)->entry).value(), changed) << "bit " << at;
      continue;
    }
    ASSERT_FALSE(header) << "bit " << at;
    EXPECT_EQ(header.error().kind(), ErrorKind::corrupt);
  }
}

// With a right checksum, as somebody who means harm would have it.
Bytes resealed(Bytes bytes, std::size_t block_at) {
  std::byte* block = bytes.data() + block_at;
  char digits[8];
  std::snprintf(digits, sizeof digits, "%06o", ustar_checksum(block));
  std::copy_n(as_bytes({digits, 7}).begin(), 7, block + kChecksumField.at);
  return bytes;
}

TEST(Tar, NamesThatLeadOutAreRefused) {
  for (const std::string name : {"/etc/passwd", "../x", "a/../../x", "a/./b", "..", ".wh...", "a//b"}) {
    Bytes bytes = *write_tar_header(file_of("placeholder-name", 0));
    std::fill_n(bytes.begin(), 100, std::byte{});
    std::copy_n(as_bytes(name).begin(), name.size(), bytes.begin());
    const auto header = parse_tar_header(resealed(bytes, 0));
    ASSERT_FALSE(header) << name;
    EXPECT_EQ(header.error().kind(), ErrorKind::corrupt) << name;
  }
  Bytes link = *write_tar_header(link_of(EntryKind::hard_link, "z", "a"));
  const std::string target = "../../etc/passwd";
  std::copy_n(as_bytes(target).begin(), target.size(), link.begin() + kLinkField.at);
  EXPECT_FALSE(parse_tar_header(resealed(link, 0)));
}

TEST(Tar, SizesThatLieAskForNoMemory) {
  Entry entry = file_of("f", 0);
  entry.mtime_ns = 1;
  Bytes bytes = *write_tar_header(entry);
  const std::string size = "77777777777";
  std::copy_n(as_bytes(size).begin(), size.size(), bytes.begin() + kSizeField.at);
  const auto header = parse_tar_header(resealed(bytes, 0));
  ASSERT_FALSE(header);
  EXPECT_EQ(header.error().kind(), ErrorKind::corrupt);
}

}  // namespace
}  // namespace cairn::layer
