// The golden objects of tests/data/segment: read, compared with what is known of them, and written again.

#include <gtest/gtest.h>
#include <xxhash.h>
#include <zstd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/bytes.h"
#include "segment/footer.h"
#include "segment/merge.h"
#include "segment/reseal.h"
#include "segment/test_history.h"

namespace cairn::segment {
namespace {

using namespace testing;
using nlohmann::json;

std::string hex(std::uint64_t value) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(value));
  return text;
}

const char* name_of(ObjectKind kind) {
  constexpr const char* kNames[] = {"?", "snapshot", "segment", "bundle", "squashed"};
  return kNames[static_cast<std::size_t>(kind) % 5];
}

json facts_of(const Footer& footer, const PageIndex& index, const Bytes& data, std::size_t blocks) {
  json facts;
  facts["kind"] = name_of(footer.kind);
  facts["page_size"] = footer.page_size;
  facts["lineage"] = footer.lineage.hex();
  facts["writer"] = footer.writer.hex();
  facts["first"] = footer.first.value;
  facts["last"] = footer.last.value;
  facts["first_time_ms"] = footer.first_time_ms;
  facts["last_time_ms"] = footer.last_time_ms;
  facts["hash_before"] = hex(footer.hash_before);
  facts["index_count"] = footer.index_count;
  facts["data_size_bytes"] = footer.data_size_bytes;
  facts["data_xxh3"] = hex(XXH3_64bits(data.data(), data.size()));
  facts["blocks"] = blocks;
  for (const RestorePoint& point : footer.points)
    facts["points"].push_back({{"sequence", point.sequence.value},
                               {"time_ms", point.time_ms},
                               {"commit_count", point.commit_count},
                               {"frame_end", point.frame_end},
                               {"page_count", point.page_count},
                               {"hash_after", hex(point.hash_after)}});
  facts["pages"] = json::array();
  for (PageNo page : index.pages) facts["pages"].push_back(page.value);
  for (std::uint64_t hash : index.hashes) facts["hashes"].push_back(hex(hash));
  return facts;
}

Result<Bytes> written_again(const Footer& footer, const PageIndex& index, const Bytes& data) {
  InlineExecutor executor;
  BytesSink sink;
  const std::size_t page_size = footer.page_size;
  if (footer.kind == ObjectKind::snapshot) {
    CAIRN_ASSIGN(auto writer, SnapshotWriter::open(head_of(footer), executor));
    const std::size_t block = pages_per_block(footer.page_size) * page_size;
    for (ByteView left = data; !left.empty(); left = left.subspan(std::min(block, left.size()))) {
      ByteView part = left.first(std::min(block, left.size()));
      writer->add(Bytes(part.begin(), part.end()));
      CAIRN_TRY(writer->drain(sink, 0));
    }
    writer->end(footer.points.front(), index.hashes);
    CAIRN_TRY(writer->drain(sink, 0));
    return std::move(sink.bytes);
  }
  CAIRN_ASSIGN(auto writer, SegmentWriter::open(head_of(footer), sink, executor));
  std::size_t entry = 0;
  for (const RestorePoint& point : footer.points) {
    for (; entry < point.frame_end; ++entry) {
      ByteView page = ByteView(data).subspan(32 + entry * (page_size + 24) + 24, page_size);
      CAIRN_TRY(writer->add_page(index.pages[entry], page, index.hashes[entry]));
    }
    CAIRN_TRY(writer->end_run(point));
  }
  CAIRN_TRY(writer->finish());
  return std::move(sink.bytes);
}

class Golden : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const std::string folder = CAIRN_SOURCE_DIR "/tests/data/segment/v1/";
    std::string name = GetParam();
    object_ = read_whole_file(folder + name);
    ASSERT_FALSE(object_.empty()) << folder << name;
    std::ifstream facts(folder + name.substr(0, name.find('.')) + ".json");
    expected_ = json::parse(facts);

    source_.emplace(object_);
    Result<std::unique_ptr<ObjectReader>> reader = ObjectReader::open(*source_, name);
    ASSERT_TRUE(reader) << reader.error().message();
    reader_ = std::move(*reader);
    index_ = *reader_->index();
    data_ = *read_all(*reader_);
  }

  Bytes object_;
  json expected_;
  std::optional<BytesSource> source_;
  std::unique_ptr<ObjectReader> reader_;
  PageIndex index_;
  Bytes data_;
};
INSTANTIATE_TEST_SUITE_P(V1, Golden,
                         ::testing::Values("worked.wal.zst", "segment-4096.wal.zst", "bundle-512.wal.zst",
                                           "squashed-65536.wal.zst", "snapshot-512.sqlite.zst",
                                           "snapshot-4096.sqlite.zst", "snapshot-65536.sqlite.zst",
                                           "merge-41.wal.zst", "merge-42.wal.zst", "merge-43.wal.zst",
                                           "merge-44.wal.zst", "merge-41-44-bundle.wal.zst",
                                           "merge-41-44-squashed.wal.zst", "merge-snapshot-40.sqlite.zst",
                                           "merge-snapshot-44.sqlite.zst"),
                         [](const auto& tested) {
                           std::string name = tested.param;
                           name = name.substr(0, name.find('.'));
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST_P(Golden, HoldsWhatIsKnownOfIt) {
  EXPECT_EQ(facts_of(reader_->footer(), index_, data_, reader_->blocks().size()), expected_);
  Result<Footer> verified = verify_object(*reader_);
  EXPECT_TRUE(verified) << verified.error().message();
}

// What the format fixes and zstd has no part in: the decompressed data, and the footer but for what follows from the
// compressed blocks.
TEST_P(Golden, WrittenAgainSaysTheSame) {
  Result<Bytes> again = written_again(reader_->footer(), index_, data_);
  ASSERT_TRUE(again) << again.error().message();
  BytesSource source(*again);
  auto reader = ObjectReader::open(source, "again");
  ASSERT_TRUE(reader) << reader.error().message();
  EXPECT_EQ(*read_all(**reader), data_);
  EXPECT_EQ((*reader)->footer(), reader_->footer());
  const ByteView old_tail = ByteView(object_).subspan(*tail_begin_of(object_), kTailBytes);
  const ByteView new_tail = ByteView(*again).subspan(*tail_begin_of(*again), kTailBytes);
  for (std::size_t i = 0; i < kTailBytes; ++i) {
    bool follows_from_blocks = (i >= 144 && i < 152) || (i >= 160 && i < 168);
    EXPECT_TRUE(follows_from_blocks || old_tail[i] == new_tail[i]) << "tail byte " << i;
  }
}

TEST_P(Golden, WrittenAgainIsTheSameByteForByte) {
  if (ZSTD_versionNumber() != 10504)
    GTEST_SKIP() << "written with zstd 1.5.4; this is " << ZSTD_versionString() << ", whose frames may differ";
  Result<Bytes> again = written_again(reader_->footer(), index_, data_);
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_EQ(*again, object_);
}

TEST(GoldenFiles, AreWhatTheyHaveAlwaysBeen) {
  const std::string folder = CAIRN_SOURCE_DIR "/tests/data/segment/v1";
  ASSERT_EQ(run_command("cd " + folder + " && sha256sum --quiet --strict -c SHA256SUMS"), 0);
  std::ifstream sums(folder + "/SHA256SUMS");
  std::ptrdiff_t listed = 0, there = 0;
  for (std::string line; std::getline(sums, line);) ++listed;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    there += entry.path().filename() != "SHA256SUMS";
  EXPECT_EQ(listed, there) << "a file without its sum";
}

// Merges of golden objects, which are golden themselves.
class MergedGolden : public ::testing::Test {
 protected:
  static Bytes golden(const std::string& name) {
    return read_whole_file(CAIRN_SOURCE_DIR "/tests/data/segment/v1/" + name);
  }
  static void expect_merge_of(std::vector<Bytes> objects, ObjectKind kind, const Bytes& expected) {
    const Inputs inputs(std::move(objects));
    InlineExecutor executor;
    BytesSink sink;
    MergeOptions options;
    options.level = 1;
    const Result<Footer> footer = merge(inputs.readers(), kind, sink, executor, options);
    ASSERT_TRUE(footer) << footer.error().message();
    EXPECT_EQ(*footer, *open_and_verify(expected));
    const BytesSource made(sink.bytes), known(expected);
    EXPECT_EQ(*read_all(**ObjectReader::open(made, "made")), *read_all(**ObjectReader::open(known, "known")));
    if (ZSTD_versionNumber() == 10504) {
      EXPECT_EQ(sink.bytes, expected);
    }
  }
};

TEST_F(MergedGolden, TheInputsGiveTheBundleAndTheSquashedSegment) {
  const std::vector<Bytes> segments{golden("merge-41.wal.zst"), golden("merge-42.wal.zst"), golden("merge-43.wal.zst"),
                                    golden("merge-44.wal.zst")};
  const Bytes bundle = golden("merge-41-44-bundle.wal.zst"), squashed = golden("merge-41-44-squashed.wal.zst");
  expect_merge_of(segments, ObjectKind::bundle, bundle);
  expect_merge_of(segments, ObjectKind::squashed, squashed);
  expect_merge_of({bundle}, ObjectKind::squashed, squashed);
}

// That bundle is older than merging.
TEST_F(MergedGolden, TheRunsOfABundleGiveThatBundle) {
  const Bytes bundle = golden("bundle-512.wal.zst");
  const BytesSource source(bundle);
  const auto reader = *ObjectReader::open(source, "bundle");
  const Bytes data = *read_all(*reader);
  const PageIndex index = *reader->index();
  std::vector<Bytes> segments;
  ObjectHead head = head_of(reader->footer());
  head.kind = ObjectKind::segment;
  std::size_t entry = 0;
  for (const RestorePoint& point : reader->footer().points) {
    head.first = head.last = point.sequence;
    head.first_time_ms = head.last_time_ms = point.time_ms;
    InlineExecutor executor;
    BytesSink sink;
    const auto writer = *SegmentWriter::open(head, sink, executor);
    for (; entry < point.frame_end; ++entry) {
      const ByteView page = ByteView(data).subspan(32 + entry * (512 + 24) + 24, 512);
      ASSERT_TRUE(writer->add_page(index.pages[entry], page, index.hashes[entry]));
    }
    ASSERT_TRUE(writer->end_run(point));
    ASSERT_TRUE(writer->finish());
    head.hash_before = point.hash_after;
    segments.push_back(std::move(sink.bytes));
  }
  expect_merge_of(std::move(segments), ObjectKind::bundle, bundle);
}

// The hex dump in docs/format.md is that of worked.wal.zst.
TEST(WorkedExample, BytesInTheDocumentAreThoseOfTheObject) {
  std::ifstream document(CAIRN_SOURCE_DIR "/docs/format.md");
  ASSERT_TRUE(document.good());
  Bytes shown;
  std::string line;
  while (std::getline(document, line)) {
    // "0000  28 b5 2f fd ..  ; what it is"
    if (line.size() < 6 || line.find_first_not_of("0123456789abcdef") != 4 || line.compare(4, 2, "  ") != 0) continue;
    ASSERT_EQ(std::stoul(line.substr(0, 4), nullptr, 16), shown.size()) << line;
    std::istringstream bytes(line.substr(6, line.find(';') == std::string::npos ? std::string::npos
                                                                                : line.find(';') - 6));
    for (std::string byte; bytes >> byte;) shown.push_back(static_cast<std::byte>(std::stoi(byte, nullptr, 16)));
  }
  EXPECT_EQ(shown, read_whole_file(CAIRN_SOURCE_DIR "/tests/data/segment/v1/worked.wal.zst"));
}

}  // namespace
}  // namespace cairn::segment
