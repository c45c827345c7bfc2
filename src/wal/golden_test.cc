// WAL files that SQLite wrote, some of them damaged afterwards, against facts that were not made by this code: see
// tests/data/wal/make.py.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "wal/wal.h"

namespace cairn::wal {
namespace {

using Facts = std::map<std::string, std::string>;

std::filesystem::path data_folder() { return std::filesystem::path(CAIRN_SOURCE_DIR) / "tests/data/wal"; }

std::string read_all(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

Facts read_facts(const std::filesystem::path& path) {
  Facts facts;
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) {
    const auto colon = line.find(": ");
    if (colon != std::string::npos) facts[line.substr(0, colon)] = line.substr(colon + 2);
  }
  return facts;
}

std::vector<std::string> all_cases() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(data_folder())) {
    if (entry.is_directory()) names.push_back(entry.path().filename());
  }
  std::sort(names.begin(), names.end());
  return names;
}

// What this code makes of a WAL, in the words of the facts file.
Facts describe(ByteView bytes) {
  const auto header = parse_header(bytes);
  if (!header) return {{"header", "corrupt"}};
  std::uint32_t valid = 0;
  std::uint32_t last_commit = 0;
  std::string commits;
  Checksum sum = header->sum;
  Checksum commit_sum;
  const std::size_t frame_size = kFrameHeaderSize + header->page_size;
  for (;;) {
    const auto offset = frame_offset(FrameNo(valid + 1), header->page_size);
    if (offset >= bytes.size()) break;
    const auto frame = check_frame(*header, sum, bytes.subspan(offset, std::min(frame_size, bytes.size() - offset)));
    if (!frame) break;
    sum = frame->sum;
    ++valid;
    if (frame->commit_page_count == 0) continue;
    last_commit = valid;
    commit_sum = sum;
    commits += fmt::format("{}{}:{}", commits.empty() ? "" : " ", valid, frame->commit_page_count);
  }
  return {{"header", "ok"},
          {"order", header->order == ByteOrder::big ? "big" : "little"},
          {"page_size", fmt::to_string(header->page_size)},
          {"checkpoint_sequence", fmt::to_string(header->checkpoint_sequence)},
          {"salts", fmt::format("{} {}", header->salts.first, header->salts.second)},
          {"frames_valid", fmt::to_string(valid)},
          {"commits", commits},
          {"last_commit_frame", fmt::to_string(last_commit)},
          {"last_commit_sum", fmt::format("{} {}", commit_sum.first, commit_sum.second)}};
}

class GoldenWal : public testing::TestWithParam<std::string> {};

TEST_P(GoldenWal, IsReadAsSqliteReadsIt) {
  const std::string bytes = read_all(data_folder() / GetParam() / "wal");
  Facts expected = read_facts(data_folder() / GetParam() / "facts");
  ASSERT_FALSE(expected.empty());
  // For people: how the reader that made the facts came to its end, and what SQLite itself said.
  expected.erase("stops_at");
  expected.erase("sqlite_takes");
  EXPECT_EQ(describe(as_bytes(bytes)), expected);
}

TEST_P(GoldenWal, IsWrittenAgainByteForByte) {
  const std::string bytes = read_all(data_folder() / GetParam() / "wal");
  const ByteView wal = as_bytes(bytes);
  const auto header = parse_header(wal);
  if (!header) return;  // nothing to write again: its own test says that it is corrupt
  EXPECT_TRUE(std::ranges::equal(write_header(*header), wal.first(kHeaderSize)));
  Checksum sum = header->sum;
  const std::size_t frame_size = kFrameHeaderSize + header->page_size;
  for (std::size_t at = kHeaderSize; at + frame_size <= wal.size(); at += frame_size) {
    const ByteView frame = wal.subspan(at, frame_size);
    const auto found = check_frame(*header, sum, frame);
    if (!found) break;
    const auto again = write_frame_header(*header, found->page, found->commit_page_count,
                                          frame.subspan(kFrameHeaderSize), sum);
    EXPECT_TRUE(std::ranges::equal(again, frame.first(kFrameHeaderSize))) << at;
    EXPECT_EQ(sum, found->sum);
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, GoldenWal, testing::ValuesIn(all_cases()),
                         [](const auto& chosen) { return chosen.param; });

TEST(GoldenWals, AreAllThere) {
  const auto cases = all_cases();
  for (const char* name : {"ok", "two_commits", "torn_tail", "stale_frames", "spilled_uncommitted",
                           "spilled_rewritten", "shrunk", "page_zero", "page_512", "page_65536", "big_endian",
                           "salt_mismatch", "frame_checksum", "header_checksum", "bad_magic", "bad_version",
                           "header_only", "truncated_header", "empty"}) {
    EXPECT_NE(std::find(cases.begin(), cases.end(), name), cases.end()) << name;
  }
}

}  // namespace
}  // namespace cairn::wal
