#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "base/executor.h"
#include "cairn/layer.h"
#include "cairn/machine.h"
#include "layer/test_layers.h"
#include "store/faulty.h"

namespace cairn::layer {
namespace {

using namespace testing;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class VerifyTest : public ::testing::Test {
 protected:
  std::vector<Item> items() {
    return {item_of(entry_of(EntryKind::directory, "")), item_of(entry_of(EntryKind::directory, "d")),
            item_of(file_of("d/big", 0), noise(9u << 20, 1)), item_of(file_of("d/small", 0), "small"),
            item_of(link_of(EntryKind::hard_link, "d/z", "d/small")), item_of(file_of("e", 0))};
  }
  void publish_layers(const std::vector<MadeLayer>& layers) {
    manifest_ = publish(*store_, "web", layers);
    for (const MadeLayer& layer : layers) put_meta(layer.meta);
  }
  void put_meta(const LayerMeta& meta) {
    const Bytes bytes = write_meta(meta);
    (void)store_->put_new(meta_key(meta.digest), BytesSource(bytes));
  }
  void replace(const std::string& key, const Bytes& bytes) {
    ASSERT_TRUE(store_->remove(key));
    ASSERT_TRUE(store_->put_new(key, BytesSource(bytes)));
  }
  Bytes tar_in(const std::string& key) {
    Bytes tar;
    const auto reader = LayerReader::open(*store_, key).value();
    EXPECT_TRUE(reader->visit_frames(0, reader->frames().size(), [&](std::uint64_t, ByteView bytes) -> Result<void> {
      tar.insert(tar.end(), bytes.begin(), bytes.end());
      return {};
    }));
    return tar;
  }
  LayerVerifyReport verify() {
    auto report = verify_layers(*store_, "web", *machine_);
    EXPECT_TRUE(report) << report.error().message();
    return report.value_or(LayerVerifyReport{});
  }

  std::unique_ptr<Machine> machine_ = make_machine(3);
  std::unique_ptr<Store> store_ = make_memory_store();
  Manifest manifest_;
};

TEST_F(VerifyTest, WhatIsInOrderIsCountedAndHasNoProblems) {
  const MadeLayer full = make_layer(items());
  const MadeLayer small = make_layer({item_of(entry_of(EntryKind::directory, "")), item_of(file_of("n", 0), "new")});
  publish_layers({full, small});
  std::uint64_t done_last = 0, total_last = 0;
  const auto report = verify_layers(*store_, "web", *machine_, [&](std::uint64_t done, std::uint64_t total) {
    done_last = std::max(done_last, done);
    total_last = total;
  });
  ASSERT_TRUE(report);
  EXPECT_THAT(report->problems, IsEmpty());
  EXPECT_EQ(report->layers, 2u);
  EXPECT_EQ(report->entries, 8u);
  EXPECT_EQ(report->size_bytes, full.tar.size() + small.tar.size());
  EXPECT_EQ(done_last, report->size_bytes);
  EXPECT_EQ(total_last, report->size_bytes);
}

// Whichever byte of an object is another one, it is found: most in a hash, some in what cannot be parsed any more. A
// few bits of a zstd frame mean nothing: with them the tar is the same.
TEST_F(VerifyTest, OneChangedBitAnywhereIsFound) {
  const MadeLayer layer = make_layer({item_of(entry_of(EntryKind::directory, "")), item_of(file_of("a", 0), "contents"),
                                      item_of(file_of("b", 0), noise(300, 2))}, 256);
  publish_layers({layer});
  ASSERT_THAT(verify().problems, IsEmpty());
  std::size_t meaningless = 0;
  for (std::size_t at = 0; at < layer.object.size(); ++at) {
    Bytes damaged = layer.object;
    damaged[at] ^= std::byte{1} << (at % 8);
    replace(layer.meta.object, damaged);
    if (!verify().problems.empty()) continue;
    ++meaningless;
    EXPECT_EQ(tar_in(layer.meta.object), layer.tar) << "byte " << at << " of " << layer.object.size();
  }
  EXPECT_LT(meaningless, layer.object.size() / 100);
}

TEST_F(VerifyTest, WhatIsMissingOrCutIsNamed) {
  const MadeLayer full = make_layer(items());
  const MadeLayer small = make_layer({item_of(entry_of(EntryKind::directory, ""))});
  publish_layers({full, small});
  ASSERT_TRUE(store_->remove(small.meta.object));
  ASSERT_TRUE(store_->remove(meta_key(full.digest)));
  const LayerVerifyReport report = verify();
  EXPECT_THAT(report.problems, ElementsAre(HasSubstr(meta_key(full.digest)), HasSubstr(small.meta.object)));
  EXPECT_EQ(report.layers, 1u);
  Bytes cut = full.object;
  cut.resize(cut.size() / 2);
  replace(full.meta.object, cut);
  EXPECT_EQ(verify().problems.size(), 3u);
}

TEST_F(VerifyTest, ALayerUnderTheNameOfAnotherIsFound) {
  const MadeLayer one = make_layer({item_of(entry_of(EntryKind::directory, "")), item_of(file_of("a", 0), "1")});
  const MadeLayer two = make_layer({item_of(entry_of(EntryKind::directory, "")), item_of(file_of("a", 0), "2")});
  publish_layers({one});
  replace(one.meta.object, two.object);
  EXPECT_THAT(verify().problems, ElementsAre(HasSubstr(one.meta.object)));
}

TEST_F(VerifyTest, AnIndexThatLiesAboutContentsIsFound) {
  std::vector<Item> lying{item_of(entry_of(EntryKind::directory, "")), item_of(file_of("a", 0), "contents")};
  lying[1].claimed_hash = 7;
  publish_layers({make_layer(lying)});
  EXPECT_THAT(verify().problems, ElementsAre(HasSubstr("'a': its contents do not have the hash")));
}

TEST_F(VerifyTest, AMetaAndAHistoryThatSaySomethingElseAreFound) {
  const MadeLayer layer = make_layer({item_of(entry_of(EntryKind::directory, ""))});
  publish_layers({layer});
  LayerMeta other = layer.meta;
  other.file_count += 1;
  replace(meta_key(layer.digest), write_meta(other));
  EXPECT_THAT(verify().problems, ElementsAre(HasSubstr("says something else")));
  replace(meta_key(layer.digest), write_meta(layer.meta));
  manifest_.syncs[0].layer.file_count += 1;
  replace(manifest_key("web"), write_manifest(manifest_));
  EXPECT_FALSE(verify().problems.empty());
}

TEST_F(VerifyTest, ADamagedManifestIsAProblemAndNoContainerIsAnError) {
  publish_layers({make_layer({item_of(entry_of(EntryKind::directory, ""))})});
  replace(manifest_key("web"), Bytes(10));
  EXPECT_EQ(verify().problems.size(), 1u);
  const auto nobody = verify_layers(*store_, "nobody", *machine_);
  ASSERT_FALSE(nobody);
  EXPECT_EQ(nobody.error().kind(), ErrorKind::not_found);
}

TEST_F(VerifyTest, TornFilesAreANoteAndNoProblem) {
  std::vector<Item> items{item_of(entry_of(EntryKind::directory, "")), item_of(file_of("a", 0), "contents")};
  items[1].state = Contents::torn;
  publish_layers({make_layer(items)});
  manifest_.syncs[0].torn_files = 1;
  replace(manifest_key("web"), write_manifest(manifest_));
  const LayerVerifyReport report = verify();
  EXPECT_THAT(report.problems, IsEmpty());
  EXPECT_THAT(report.notes, ElementsAre(HasSubstr("kept changing")));
}

TEST_F(VerifyTest, AStoreThatIsAwayIsAnErrorAndNoProblem) {
  publish_layers({make_layer(items())});
  SeededRandom random(1);
  for (const Operation operation : {Operation::get, Operation::get_suffix}) {
    FaultPlan plan;
    plan.of(operation).before = 1000;
    const std::unique_ptr<Store> faulty = make_faulty_store(*store_, plan, random);
    const auto report = verify_layers(*faulty, "web", *machine_);
    ASSERT_FALSE(report) << name_of(operation);
    EXPECT_EQ(report.error().kind(), ErrorKind::retry_later);
  }
}

}  // namespace
}  // namespace cairn::layer
