#include "layer/plan.h"

#include <array>

#include "layer/test_upper.h"

namespace cairn::layer {
namespace {

using testing::TestUpper;

// The archive's part, by hand.
class PlanTest : public ::testing::Test {
 protected:
  void load() {
    auto loaded = Plan::load(*upper_.catalogue);
    ASSERT_TRUE(loaded);
    plan_ = std::move(*loaded);
    auto opened = Tree::open(upper_.root(), upper_.options, upper_.clock);
    ASSERT_TRUE(opened);
    tree_ = std::move(*opened);
  }
  std::vector<PlanRow> rows(std::optional<std::string> after = std::nullopt) {
    std::vector<PlanRow> all;
    auto rows = plan_->rows(std::move(after));
    while (auto row = *(*rows)->next()) all.push_back(std::move(*row));
    return all;
  }
  std::string paths(std::optional<std::string> after = std::nullopt) {
    std::string text;
    for (const PlanRow& row : rows(std::move(after))) {
      text += row.path + (row.action == PlanAction::opaque ? "* " : " ");
    }
    return text;
  }
  void record(const PlanRow& row, Contents contents = Contents::whole) {
    auto open = tree_->open_entry(row);
    ASSERT_TRUE(open && *open) << row.path;
    ASSERT_TRUE(plan_->record(row, **open, 1, contents));
  }

  TestUpper upper_;
  std::unique_ptr<Plan> plan_;
  std::unique_ptr<Tree> tree_;
};

TEST_F(PlanTest, GoesOnBehindAnyRowInAnotherProcess) {
  upper_.mkdir("d");
  upper_.set("d", "trusted.overlay.opaque", "y");
  upper_.write("d/f", "12");
  upper_.write("d.x", "3");
  ASSERT_TRUE(upper_.scan());
  load();
  EXPECT_EQ(plan_->head().kind, SyncKind::increment);
  EXPECT_EQ(plan_->head().rows, 5u);
  EXPECT_EQ(plan_->head().total_bytes, 3u);
  EXPECT_EQ(paths(), " d d* d/f d.x ");
  const auto all = rows();
  for (std::size_t i = 0; i < all.size(); ++i) {
    load();  // nothing but what is in the database
    EXPECT_EQ(rows(all[i].key).size(), all.size() - i - 1);
  }
}

TEST_F(PlanTest, StaysUntilTheNextChangeOrScan) {
  upper_.write("a", "1");
  ASSERT_TRUE(upper_.scan());
  load();
  ASSERT_TRUE(plan_);
  upper_.write("b", "2");
  ASSERT_TRUE(upper_.scan());
  load();
  EXPECT_EQ(paths(), " a b ");
  ASSERT_TRUE(plan_->drop());
  load();
  EXPECT_FALSE(plan_);
  EXPECT_EQ(upper_.sync_text(), "dir \nfile a=1\nfile b=2\n");
}

TEST_F(PlanTest, RowsThatWereNotRecordedAreWrittenByTheNextSync) {
  upper_.write("a", "1");
  upper_.write("b", "2");
  ASSERT_TRUE(upper_.scan());
  load();
  for (const PlanRow& row : rows()) {
    if (row.path != "b") record(row);
  }
  ASSERT_TRUE(plan_->take_over("object"));
  EXPECT_EQ(upper_.sync_text(), "file b=2\n");
}

TEST_F(PlanTest, WhatVanishedIsLeftOutAndItsNamesStayKnown) {
  upper_.write("a", "1");
  ASSERT_NE(upper_.sync_text(), "");
  upper_.write("a", "22");
  ASSERT_TRUE(upper_.scan());
  std::filesystem::remove(upper_ / "a");
  const auto left = upper_.archive();
  ASSERT_TRUE(left);
  EXPECT_EQ(TestUpper::text_of(*left), "");
  EXPECT_EQ(upper_.sync_text(), "dir \nwhiteout a none\n");
}

// A layer may not have a name whose directory it left out, even when both are back by then.
TEST_F(PlanTest, BelowWhatWasLeftOutNothingIsWritten) {
  upper_.mkdir("d");
  upper_.set("d", "trusted.overlay.opaque", "y");
  upper_.write("d/f", "1");
  ASSERT_TRUE(upper_.scan());
  load();
  const auto all = rows();
  record(all[0]);
  ASSERT_TRUE(plan_->record_left_out(all[1]));
  EXPECT_EQ(paths(all[1].key), "");
  load();
  EXPECT_EQ(paths(all[1].key), "");
  record(all[1]);  // it is written after all
  EXPECT_EQ(paths(all[1].key), "d* d/f ");
}

// It was recorded before an interruption, and its directory is left out when the sync goes on from an earlier place.
TEST_F(PlanTest, BelowWhatWasLeftOutNothingIsTakenOver) {
  upper_.mkdir("d");
  upper_.write("d/f", "1");
  upper_.write("d0", "2");
  ASSERT_TRUE(upper_.scan());
  load();
  const auto all = rows();
  for (const PlanRow& row : all) record(row);
  ASSERT_TRUE(plan_->record_left_out(all[1]));
  ASSERT_TRUE(plan_->take_over("object"));
  EXPECT_EQ(upper_.sync_text(), "dir d\nfile d/f=1\n");
}

TEST_F(PlanTest, LinksToWhatWasLeftOutAreFiles) {
  upper_.write("a", "1");
  std::filesystem::create_hard_link(upper_ / "a", upper_ / "b");
  ASSERT_TRUE(upper_.scan());
  load();
  const auto all = rows();
  EXPECT_EQ(all.back().kind, EntryKind::hard_link);
  ASSERT_TRUE(plan_->record_left_out(all[1]));
  EXPECT_EQ(rows(all[1].key).back().kind, EntryKind::file);
  auto open = tree_->open_entry(rows(all[1].key).back());
  ASSERT_TRUE(open && *open);
  EXPECT_EQ((*open)->entry().kind, EntryKind::file);
  EXPECT_TRUE((*open)->has_contents());
}

// A directory is away as it is its turn, and back for a link to a file in it: the layer has no such target.
TEST_F(PlanTest, LinksIntoWhatWasLeftOutAreFiles) {
  upper_.mkdir("d");
  upper_.write("d/a", "1");
  std::filesystem::create_hard_link(upper_ / "d/a", upper_ / "e");
  ASSERT_TRUE(upper_.scan());
  const auto written = upper_.archive([&](const PlanRow& row) {
    if (row.path == "d") std::filesystem::rename(upper_ / "d", upper_.beside("d"));
    if (row.path == "e") std::filesystem::rename(upper_.beside("d"), upper_ / "d");
  });
  ASSERT_TRUE(written);
  EXPECT_EQ(TestUpper::text_of(*written), "dir \nfile e=1\n");
  EXPECT_EQ(upper_.sync_text(), "dir \ndir d\nfile d/a=1\nlink e -> d/a\n");
}

// A file is written and its other name, which is away just then, is not: it leads to the old contents. Nothing but its
// target says so, and nothing in its attributes.
TEST_F(PlanTest, LinkThatWasLeftOutIsWrittenByTheNextSync) {
  upper_.write("a", "1");
  std::filesystem::create_hard_link(upper_ / "a", upper_ / "b");
  ASSERT_NE(upper_.sync_text(), "");
  const auto time = std::filesystem::last_write_time(upper_ / "a");
  upper_.write("a", "2");
  std::filesystem::last_write_time(upper_ / "a", time);
  ASSERT_TRUE(upper_.scan());
  const auto written = upper_.archive([&](const PlanRow& row) {
    if (row.path == "b") std::filesystem::rename(upper_ / "b", upper_.beside("b"));
  });
  ASSERT_TRUE(written);
  EXPECT_EQ(TestUpper::text_of(*written), "file a=2\n");
  std::filesystem::rename(upper_.beside("b"), upper_ / "b");
  EXPECT_NE(upper_.sync_text().find("link b -> a\n"), std::string::npos);
}

TEST_F(PlanTest, LinksThatAreNoneAnyMoreAreFiles) {
  upper_.write("a", "1");
  std::filesystem::create_hard_link(upper_ / "a", upper_ / "b");
  ASSERT_TRUE(upper_.scan());
  std::filesystem::remove(upper_ / "b");
  upper_.write("b", "2");
  const auto written = upper_.archive();
  ASSERT_TRUE(written);
  EXPECT_EQ(TestUpper::text_of(*written), "dir \nfile a=1\nfile b=2\n");
  EXPECT_EQ(upper_.sync_text(), "");
}

// It becomes opaque between scan and archive: this layer has not what belongs to that, the next one has.
TEST_F(PlanTest, DirectoryThatBecomesOpaqueMeanwhileIsWrittenAsPlanned) {
  upper_.mkdir("d");
  upper_.write("d/f", "1");
  ASSERT_TRUE(upper_.scan());
  upper_.set("d", "trusted.overlay.opaque", "y");
  const auto written = upper_.archive();
  ASSERT_TRUE(written);
  EXPECT_EQ(TestUpper::text_of(*written), "dir \ndir d\nfile d/f=1\n");
  EXPECT_EQ(upper_.sync_text(), "dir d xattr\nopaque d xattr\nfile d/f=1\n");
}

// The same with what its empty files mean.
TEST_F(PlanTest, EmptyFilesThatBecomeWhiteoutsMeanwhileAreFoundByTheNextSync) {
  upper_.mkdir("d");
  upper_.write("d/f", "");
  upper_.set("d/f", "trusted.overlay.whiteout", "");
  ASSERT_NE(upper_.sync_text(), "");
  upper_.set("d", "trusted.own", "1");
  ASSERT_TRUE(upper_.scan());
  upper_.set("d", "trusted.overlay.opaque", "x");
  const auto written = upper_.archive();
  ASSERT_TRUE(written);
  EXPECT_EQ(TestUpper::text_of(*written), "dir d\n");
  EXPECT_EQ(upper_.sync_text(), "whiteout d/f xattr\n");
}

// After a restore the catalogue knows which names are one file although nobody has looked at them since.
TEST_F(PlanTest, RefilledCatalogueKnowsWhichNamesBelongTogether) {
  upper_.write("a", "1");
  upper_.mkdir("d");
  std::filesystem::create_hard_link(upper_ / "a", upper_ / "d/b");
  const auto all = upper_.sync();
  ASSERT_TRUE(all);
  ASSERT_TRUE(upper_.catalogue->database().transaction([&]() -> Result<void> {
    CAIRN_ASSIGN(const auto refill, CatalogueRefill::begin(*upper_.catalogue));
    for (const auto& [entry, contents] : *all) {
      struct statx status {};
      ::statx(AT_FDCWD, (upper_ / entry.path).c_str(), AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &status);
      CAIRN_TRY(refill->add(entry, 1, Contents::whole, stamp_of(status), upper_.clock.now().wall_ms));
    }
    return {};
  }));
  EXPECT_EQ(upper_.sync_text(), "");
  EXPECT_EQ(upper_.last.hashed_files, 0u);
  upper_.set("d", "trusted.overlay.opaque", "y");
  EXPECT_EQ(upper_.sync_text(), "file a=1\ndir d xattr\nopaque d xattr\nlink d/b -> a\n");
}

TEST_F(PlanTest, BlocksBelongToTheNewestVersion) {
  upper_.write("big", std::string(kBigFileBytes, 'x'));
  const std::vector<Block> first{{1, 10, 100, 1000}, {2, 20, 200, 2000}}, second{{3, 30, 300, 3000}};
  ASSERT_TRUE(upper_.scan());
  load();
  const PlanRow big = rows().back();
  ASSERT_TRUE(plan_->record_blocks(big, 0, first));
  EXPECT_EQ(*plan_->recorded_blocks(big), first);
  ASSERT_TRUE(plan_->record_blocks(big, 1, second));  // the second block was read again
  EXPECT_EQ(*plan_->recorded_blocks(big), (std::vector<Block>{first[0], second[0]}));
  EXPECT_EQ(paths(rows().front().key), "big ");  // still to be done
  record(rows().front());
  record(big);
  ASSERT_TRUE(plan_->take_over("objects/1"));
  auto kept = upper_.catalogue->blocks_of("big");
  ASSERT_TRUE(kept);
  EXPECT_EQ(kept->object_key, "objects/1");
  EXPECT_EQ(kept->blocks, (std::vector<Block>{first[0], second[0]}));

  upper_.write("big", std::string(kBigFileBytes, 'y'));
  ASSERT_TRUE(upper_.scan());
  load();
  EXPECT_EQ(upper_.catalogue->blocks_of("big")->object_key, "objects/1");  // until the sync is published
  ASSERT_TRUE(plan_->record_blocks(rows().back(), 0, second));
  record(rows().back());
  ASSERT_TRUE(plan_->take_over("objects/2"));
  kept = upper_.catalogue->blocks_of("big");
  EXPECT_EQ(kept->object_key, "objects/2");
  EXPECT_EQ(kept->blocks, second);
  auto count = upper_.catalogue->database().prepare("SELECT count(*) FROM layer_scan_block");
  ASSERT_TRUE(count->begin());
  ASSERT_TRUE(*count->next());
  EXPECT_EQ(count->integer(0), 1);  // none of older versions
}

TEST_F(PlanTest, HolesAreFound) {
  const int fd = ::open((upper_ / "sparse").c_str(), O_CREAT | O_RDWR, 0644);
  ASSERT_EQ(::ftruncate(fd, 10ll << 30), 0);  // ten gigabytes that take no space
  ASSERT_EQ(::pwrite(fd, "x", 1, 1 << 20), 1);
  ::close(fd);
  ASSERT_TRUE(upper_.scan());
  load();
  auto open = tree_->open_entry(rows().back());
  ASSERT_TRUE(open && *open);
  EXPECT_EQ((*open)->entry().size_bytes, 10ull << 30);
  const std::vector<Hole>& holes = (*open)->entry().holes;
  ASSERT_EQ(holes.size(), 2u);
  EXPECT_EQ(holes[0].offset, 0u);
  EXPECT_EQ(holes[0].length, 1u << 20);
  EXPECT_EQ(holes[1].offset + holes[1].length, 10ull << 30);
}

TEST_F(PlanTest, StandsStillTellsOfWrites) {
  upper_.write("f", "1234");
  ASSERT_TRUE(upper_.scan());
  load();
  auto open = tree_->open_entry(rows().back());
  ASSERT_TRUE(open && *open);
  EXPECT_TRUE(*(*open)->stands_still());
  upper_.tick();
  upper_.write("f", "12");
  EXPECT_FALSE(*(*open)->stands_still());
  std::array<std::byte, 4> into{};
  EXPECT_EQ(*(*open)->read_at(0, into), 2u);  // it has become shorter
}

// What a container puts in the way leads nowhere: links are not followed, above all not out of the directory.
TEST_F(PlanTest, Z9_LinksInTheWayAreNotFollowed) {
  const std::string outside = upper_.beside("outside");
  std::filesystem::create_directory(outside);
  std::ofstream(outside + "/secret") << "secret";
  upper_.mkdir("d");
  upper_.write("d/secret", "mine");
  upper_.write("f", "mine");
  ASSERT_TRUE(upper_.scan());
  std::filesystem::remove_all(upper_ / "d");
  std::filesystem::create_symlink(outside, upper_ / "d");
  std::filesystem::remove(upper_ / "f");
  std::filesystem::create_symlink(outside + "/secret", upper_ / "f");
  const auto written = upper_.archive();
  ASSERT_TRUE(written);
  EXPECT_EQ(TestUpper::text_of(*written), "dir \nsymlink f -> " + outside + "/secret\n");
}

TEST_F(PlanTest, ContainersInOneDatabaseDoNotMeet) {
  upper_.write("a", "1");
  ASSERT_NE(upper_.sync_text(), "");
  Catalogue other(upper_.catalogue->database(), 8);
  EXPECT_TRUE(*other.is_empty());
  EXPECT_FALSE(*upper_.catalogue->is_empty());
  ASSERT_TRUE(other.clear());
  EXPECT_EQ(upper_.sync_text(), "");
  EXPECT_EQ(upper_.catalogue->find("a")->value().stamp.size_bytes, 1u);
  EXPECT_FALSE(upper_.catalogue->find("b")->has_value());
}

}  // namespace
}  // namespace cairn::layer
