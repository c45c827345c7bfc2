// The golden objects of tests/data/layer: what they hold, and that they are still written so.

#include <gtest/gtest.h>
#include <zstd.h>

#include <fstream>
#include <sstream>

#include "layer/golden_layers.h"

namespace cairn::layer {
namespace {

using namespace testing;

Bytes read_whole_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  EXPECT_FALSE(text.empty()) << path;
  const ByteView bytes = as_bytes(text);
  return Bytes(bytes.begin(), bytes.end());
}

struct Golden {
  const char* name;
  std::vector<Item> (*items)();
  const char* digest;  // of the tar: zstd has no part in it
};

class LayerGolden : public ::testing::TestWithParam<Golden> {
 protected:
  Bytes object() const {
    return read_whole_file(std::string(CAIRN_SOURCE_DIR "/tests/data/layer/v1/") + GetParam().name + ".tar.zst");
  }
};
INSTANTIATE_TEST_SUITE_P(
    V1, LayerGolden,
    ::testing::Values(
        Golden{"worked", worked_items, "2aaf31e56d00fc7c5c793fa3176888251c1b4860f7bef76dfe7c921ae78ad4fe"},
        Golden{"full", full_items, "d756a153a3e6fc58fb12f1586eaee5d97b392ca8a49ded12d520323ce5cb94bb"},
        Golden{"increment", increment_items, "1283571a59521cb690de1cdecddf4032b14e014b953afc7e3f15b55bdc7293c3"}),
    [](const auto& tested) { return std::string(tested.param.name); });

TEST_P(LayerGolden, HoldsWhatIsKnownOfIt) {
  const auto store = make_memory_store();
  const Bytes bytes = object();
  ASSERT_TRUE(store->put_new("golden", BytesSource(bytes)));
  const auto reader = LayerReader::open(*store, "golden");
  ASSERT_TRUE(reader) << reader.error().message();
  EXPECT_EQ((*reader)->digest(), GetParam().digest);
  Bytes tar;
  ASSERT_TRUE((*reader)->visit_frames(0, (*reader)->frames().size(), [&](std::uint64_t, ByteView frame) {
    tar.insert(tar.end(), frame.begin(), frame.end());
    return Result<void>();
  }));
  EXPECT_EQ(hex_of(sha256_of(tar)), GetParam().digest);
  const auto cursor = (*reader)->entries();
  for (const Item& item : GetParam().items()) {
    const auto indexed = cursor->next();
    ASSERT_TRUE(indexed && *indexed) << item.entry.path;
    EXPECT_EQ((*indexed)->entry, item.entry) << item.entry.path;
    EXPECT_EQ((*indexed)->contents, item.state);
    EXPECT_EQ(as_text(ByteView(tar).subspan((*indexed)->data_offset, item.entry.size_bytes)), item.contents);
  }
  EXPECT_EQ(cursor->next().value(), std::nullopt);
}

TEST_P(LayerGolden, TheTarIsWrittenTheSame) { EXPECT_EQ(make_layer(GetParam().items()).digest, GetParam().digest); }

TEST_P(LayerGolden, WrittenAgainIsTheSameByteForByte) {
  if (ZSTD_versionNumber() != 10504)
    GTEST_SKIP() << "written with zstd 1.5.4; this is " << ZSTD_versionString() << ", whose frames may differ";
  EXPECT_EQ(make_layer(GetParam().items()).object, object());
}

// The hex dump of docs/format.md with five digits in front is that of worked.tar.zst.
TEST(LayerWorkedExample, BytesInTheDocumentAreThoseOfTheObject) {
  std::ifstream document(CAIRN_SOURCE_DIR "/docs/format.md");
  ASSERT_TRUE(document.good());
  Bytes shown;
  std::string line;
  while (std::getline(document, line)) {
    if (line.size() < 7 || line.find_first_not_of("0123456789abcdef") != 5 || line.compare(5, 2, "  ") != 0) continue;
    ASSERT_EQ(std::stoul(line.substr(0, 5), nullptr, 16), shown.size()) << line;
    std::istringstream bytes(line.substr(7, line.find(';') == std::string::npos ? std::string::npos
                                                                                : line.find(';') - 7));
    for (std::string byte; bytes >> byte;) shown.push_back(static_cast<std::byte>(std::stoi(byte, nullptr, 16)));
  }
  EXPECT_EQ(shown, read_whole_file(CAIRN_SOURCE_DIR "/tests/data/layer/v1/worked.tar.zst"));
}

}  // namespace
}  // namespace cairn::layer
