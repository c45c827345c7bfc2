// The catalogue: what it keeps, that it is a cache, and how it is brought up to date with a store that others change.

#include "compact/catalogue.h"

#include <filesystem>
#include <fstream>

#include "base/bytes.h"
#include "compact/sync.h"
#include "compact/test_compactor.h"
#include "segment/reader.h"
#include "store/counting.h"
#include "store/faulty.h"

namespace cairn::compact {
namespace {

using namespace testing;
using segment::ObjectKind;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class Knowing : public CompactorTest {
 protected:
  std::vector<std::string> keys_known(Compactor& one) {
    std::vector<std::string> keys;
    const auto segments = one.list_segments("r");
    EXPECT_TRUE(segments) << segments.error().message();
    for (const CatalogueSegment& segment : *segments) keys.push_back(segment.key);
    std::sort(keys.begin(), keys.end());
    return keys;
  }
  std::vector<std::string> keys_there() {
    std::vector<std::string> keys;
    for (const auto& [key, bytes] : all_objects(*store_)) {
      if (segment::parse_key("", key)) keys.push_back(key);
    }
    return keys;
  }
  void write_at(const std::string& file, std::streamoff at, const std::string& text) {
    std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
    stream.seekp(at);
    stream << text;
  }
};

TEST_F(Knowing, AnswersWithoutARequestAndAsARestoreWould) {
  SeededRandom random(3);
  live(random, 40);
  replica_->merge(1, Sequence(1), Sequence(20), segment::ObjectKind::bundle);
  replica_->merge(2, Sequence(21), Sequence(30), segment::ObjectKind::squashed);
  CountingStore counting(*store_);
  auto one = compactor(counting);
  const auto added = one->monitor("r");
  ASSERT_TRUE(added) << added.error().message();
  EXPECT_EQ(added->added, keys_there().size());
  counting.reset();
  EXPECT_EQ(keys_known(*one), keys_there());
  const auto range = one->segment_range("r");
  ASSERT_TRUE(range && *range);
  EXPECT_EQ((*range)->first_sequence, 1u);
  EXPECT_EQ((*range)->last_sequence, 40u);
  const auto analysis = one->analyse("r");
  ASSERT_TRUE(analysis);
  EXPECT_EQ(analysis->replica.restore_points, 41u);
  EXPECT_EQ(analysis->replica.lineage, replica_->lineage().hex());
  EXPECT_EQ(analysis->levels.size(), 3u);
  ASSERT_TRUE(analysis->newest);
  EXPECT_EQ(analysis->newest->sequence, 40u);
  EXPECT_EQ(counting.counts().total().calls, 0u);
  for (std::uint64_t at = 0; at <= 40; ++at) {
    for (const RestoreTarget& target : {restore::testing::at_sequence(at),
                                        restore::testing::at_time(replica_->time_ms(Sequence(at)))}) {
      const auto path = one->shortest_restore_path("r", target);
      const auto plan = plan_restore(*store_, "", target);
      ASSERT_TRUE(path && plan) << at;
      EXPECT_EQ(path->sequence, plan->point.sequence);
      ASSERT_EQ(path->objects.size(), plan->objects.size()) << at;
      for (std::size_t i = 0; i < plan->objects.size(); ++i) EXPECT_EQ(path->objects[i].key, plan->objects[i].key);
      EXPECT_GE(path->requests, path->objects.size());
    }
  }
  EXPECT_EQ(one->shortest_restore_path("r", restore::testing::at_sequence(41)).error().kind(), ErrorKind::not_found);
}

// One bundle with every version of a page, or two objects with the newest ones.
TEST_F(Knowing, TheCheapestWayIsByWhatTheCallerSaysThatARequestCosts) {
  begin();
  publish_plainly(20);
  replica_->merge(1, Sequence(1), Sequence(20), ObjectKind::bundle);
  replica_->merge(1, Sequence(1), Sequence(10), ObjectKind::squashed);
  replica_->merge(1, Sequence(11), Sequence(20), ObjectKind::squashed);
  auto one = compactor(*store_);
  ASSERT_TRUE(one->monitor("r"));
  std::vector<std::size_t> counts;
  for (const std::uint64_t request_costs : {std::uint64_t{0}, std::uint64_t{1} << 40}) {
    RestoreTarget target;
    target.request_costs_bytes = request_costs;
    const auto path = one->shortest_restore_path("r", target);
    const auto plan = plan_restore(*store_, "", target);
    ASSERT_TRUE(path && plan);
    ASSERT_EQ(path->objects.size(), plan->objects.size());
    counts.push_back(plan->objects.size());
    RestoreOptions options;
    options.overwrite = Overwrite::replace;
    const auto restored = restore(*store_, target, options);
    ASSERT_TRUE(restored) << restored.error().message();
    EXPECT_EQ(restored->plan.objects.size(), plan->objects.size());
  }
  EXPECT_THAT(counts, ElementsAre(3, 2));
}

TEST_F(Knowing, AnIncrementalSyncLearnsWhatIsNewAndAsksLittle) {
  publish_plainly(50);
  CountingStore counting(*store_);
  auto one = compactor(counting);
  ASSERT_TRUE(one->monitor("r"));
  publish_plainly(3);
  replica_->snapshot();
  replica_->merge(1, Sequence(1), Sequence(10), segment::ObjectKind::bundle);  // behind the frontier
  counting.reset();
  const auto report = one->sync_one("r", SyncDepth::incremental);
  ASSERT_TRUE(report) << report.error().message();
  EXPECT_EQ(report->added, 5u);
  EXPECT_EQ(counting.counts().of(Operation::get_suffix).calls, 5u) << "a footer each";
  EXPECT_EQ(counting.counts().of(Operation::list).calls, 3u);
  EXPECT_EQ(keys_known(*one), keys_there());
  counting.reset();
  ASSERT_TRUE(one->sync_one("r", SyncDepth::incremental));
  EXPECT_EQ(counting.counts().of(Operation::get_suffix).calls, 0u) << "nothing is new";
}

TEST_F(Knowing, WhatWasRemovedMergedAndReplacedMeanwhileIsFound) {
  publish_plainly(30);
  auto one = compactor(*store_);
  ASSERT_TRUE(one->monitor("r"));
  replica_->merge(1, Sequence(1), Sequence(20), segment::ObjectKind::squashed);
  for (std::uint64_t at = 1; at <= 20; ++at) ASSERT_TRUE(store_->remove(replica_->segment_key(Sequence(at))));
  publish_plainly(2);
  ASSERT_TRUE(one->sync_one("r", SyncDepth::incremental));
  // Level 0 is behind the frontier: it is still named, and whoever comes to it finds it gone.
  const auto report = one->compact("r", {});
  ASSERT_TRUE(report) << report.error().message();
  EXPECT_THAT(report->problems, IsEmpty());
  EXPECT_EQ(keys_known(*one), keys_there());
  // The same key, and other bytes: a bundle in the place of what was squashed.
  const std::string key = segment::merged_key("", 1, Sequence(21), Sequence(24));
  replica_->merge(1, Sequence(21), Sequence(24), segment::ObjectKind::squashed);
  ASSERT_TRUE(one->sync_one("r", SyncDepth::incremental));
  ASSERT_TRUE(store_->remove(key));
  replica_->merge(1, Sequence(21), Sequence(24), segment::ObjectKind::bundle);
  ASSERT_TRUE(one->sync_one("r", SyncDepth::incremental));
  const auto segments = one->list_segments("r");
  for (const CatalogueSegment& segment : *segments) {
    if (segment.key != key) continue;
    EXPECT_EQ(segment.restore_points, 4u);
  }
}

TEST_F(Knowing, WhatIsListedLateIsLearnedLater) {
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    SCOPED_TRACE(seed);
    begin();
    FaultPlan plan;
    SeededRandom random(seed);
    plan.hidden_calls = 1 + random.below(30);
    plan.page_limit = static_cast<int>(1 + random.below(10));
    const auto late = make_faulty_store(*store_, plan, random);
    publish_plainly(3);
    auto one = compactor(*late, std::to_string(seed));
    ASSERT_TRUE(one->monitor("r"));
    replica_ = nullptr;  // from here on through the store that lists late
    begin();
    const auto late_again = make_faulty_store(*store_, plan, random);
    replica_ = std::make_unique<ReplicaBuilder>(*late_again, "");
    publish_plainly(20);
    one = compactor(*late_again, "again" + std::to_string(seed));
    while (!one->monitor("r")) publish_plainly(1);
    for (int i = 0; i < 5; ++i) {
      publish_plainly(1 + random.below(8));
      if (random.chance(1, 3)) replica_->snapshot();
      ASSERT_TRUE(one->sync_one("r", SyncDepth::incremental));
    }
    plan.hidden_calls = 0;
    ASSERT_TRUE(one->sync_one("r", SyncDepth::incremental));
    EXPECT_EQ(keys_known(*one), keys_there());
    if (HasFailure()) return;
  }
}

TEST_F(Knowing, LevelZeroIsListedFromTheFirstHole) {
  std::vector<KnownObject> known;
  const auto add = [&](const std::string& key, std::int64_t modified_ms) {
    KnownObject object;
    object.read.object.name = *segment::parse_key("", key);
    object.modified_ms = modified_ms;
    known.push_back(object);
  };
  EXPECT_EQ(list_level0_behind(known), Sequence(0));
  for (const std::uint64_t at : {1, 2, 3, 5, 6}) add(segment::segment_key("", Sequence(at)), 1000);
  EXPECT_EQ(list_level0_behind(known), Sequence(3)) << "4 may come";
  add(segment::merged_key("", 1, Sequence(2), Sequence(5)), 1000);
  EXPECT_EQ(list_level0_behind(known), Sequence(6)) << "it has been merged and removed";
  add(segment::segment_key("", Sequence(9)), 3 * kDay);
  EXPECT_EQ(list_level0_behind(known), Sequence(9)) << "7 and 8 would have come by now";
}

TEST_F(Knowing, ReplicasWithTheSameSequencesAreKeptApart) {
  publish_plainly(5);
  const auto other = make_memory_store(clock_);
  ReplicaBuilder second(*other, "", 77);
  Image image = Image::made(512, 3, 9);
  second.begin(image, clock_.wall_ms);
  for (std::uint64_t i = 1; i <= 5; ++i) {
    image.change(1, i);
    second.add(image);
  }
  CompactorOptions options;
  options.catalogue = scratch_ / "both.db";
  options.scratch_directory = scratch_ / "merging";
  options.open_store = [&](const std::string& url) -> Result<std::shared_ptr<Store>> {
    if (url == "away") return Error(ErrorKind::retry_later, "away");
    return std::shared_ptr<Store>(url == "a" ? store_.get() : other.get(), [](Store*) {});
  };
  auto one = Compactor::open(options, clock_, *files_, inline_);
  ASSERT_TRUE(one) << one.error().message();
  ASSERT_TRUE((*one)->monitor("a") && (*one)->monitor("b"));
  EXPECT_EQ((*one)->monitor("away").error().kind(), ErrorKind::retry_later);
  for (const char* url : {"a", "b"}) {
    EXPECT_EQ((*one)->list_segments(url)->size(), 6u) << url;
    EXPECT_EQ((*one)->shortest_restore_path(url, {})->sequence, 5u);
  }
  ASSERT_TRUE((*one)->unmonitor("a"));
  EXPECT_EQ((*one)->list_segments("a").error().kind(), ErrorKind::not_found);
  EXPECT_EQ((*one)->list_segments("b")->size(), 6u);
  ASSERT_TRUE((*one)->monitor("a"));  // again, and all of it is known again
  EXPECT_EQ((*one)->list_segments("a")->size(), 6u);
  const auto all = (*one)->sync_all(SyncDepth::full);
  ASSERT_TRUE(all);
  ASSERT_EQ(all->size(), 2u);
  const auto replicas = (*one)->list_monitored();
  ASSERT_EQ(replicas->size(), 2u);
  EXPECT_EQ((*replicas)[1].lineage, second.lineage().hex());
  EXPECT_EQ((*replicas)[1].restore_points, 6u);
}

TEST_F(Knowing, AnotherHistoryAtTheSameUrlTakesTheOldOnesPlace) {
  publish_plainly(8);
  auto one = compactor(*store_);
  ASSERT_TRUE(one->monitor("r"));
  for (const auto& [key, bytes] : all_objects(*store_)) ASSERT_TRUE(store_->remove(key));
  replica_ = std::make_unique<ReplicaBuilder>(*store_, "", 50);
  publish_plainly(3);
  const auto report = one->sync_one("r", SyncDepth::incremental);
  ASSERT_TRUE(report) << report.error().message();
  EXPECT_TRUE(report->other_history);
  EXPECT_EQ(keys_known(*one), keys_there());
  EXPECT_EQ((*one->list_monitored())[0].lineage, replica_->lineage().hex());
}

TEST_F(Knowing, AnObjectOfAnotherHistoryIsNamedAndNeverMerged) {
  publish_plainly(6);
  const auto other = make_memory_store(clock_);
  ReplicaBuilder foreign(*other, "", 77);
  Image image = Image::made(512, 4, 1);
  foreign.begin(image, clock_.wall_ms);
  for (std::uint64_t i = 1; i <= 7; ++i) {
    image.change(1, i);
    foreign.add(image);
  }
  const std::string key = foreign.segment_key(Sequence(7));
  ASSERT_TRUE(store_->put_new(key, BytesSource(cairn::testing::get_object(*other, key))));
  CompactOptions options;
  options.strategy = Strategy::identity;
  const auto report = compact(*store_, options);
  ASSERT_TRUE(report) << report.error().message();
  EXPECT_THAT(report->problems, ElementsAre(HasSubstr(key)));
  ASSERT_EQ(report->merged.size(), 1u);
  EXPECT_EQ(report->merged[0].last_sequence, 6u);
}

TEST_F(Knowing, LosingItLosesNothing) {
  publish_plainly(40);
  CompactOptions options;
  options.fan = 4;
  ASSERT_TRUE(compact(*store_, options, "first"));
  const auto before = all_objects(*store_);
  const auto report = compact(*store_, options, "second");  // which knows nothing of the first
  ASSERT_TRUE(report) << report.error().message();
  EXPECT_THAT(report->merged, IsEmpty());
  EXPECT_EQ(all_objects(*store_), before);
  EXPECT_EQ(keys_known(*compactor(*store_, "first")), keys_known(*compactor(*store_, "second")));
}

// Footers without a writer, as format 1 had them.
TEST_F(Knowing, OneOfAnOlderCairnIsLearnedAnew) {
  publish_plainly(5);
  ASSERT_TRUE(compactor(*store_)->monitor("r"));
  {
    const auto database = sqlite::LocalDatabase::open(scratch_ / "catalogue.db", "", 0x43726E43);
    ASSERT_TRUE(database) << database.error().message();
    ASSERT_TRUE((*database)->execute("UPDATE catalogue SET format = 1; "
                                     "UPDATE object SET footer = substr(footer, 1, length(footer) - 16)"));
  }
  const auto one = compactor(*store_);
  EXPECT_THAT(keys_known(*one), IsEmpty());
  EXPECT_EQ(one->list_monitored()->front().synced_ms, 0);
  ASSERT_TRUE(one->sync_one("r", SyncDepth::incremental));
  EXPECT_EQ(keys_known(*one), keys_there());
}

TEST_F(Knowing, ADamagedOneIsRefusedWithWhatToDo) {
  publish_plainly(40);
  const std::string file = scratch_ / "catalogue.db";
  ASSERT_TRUE(compact(*store_, {}));
  const auto size = static_cast<std::streamoff>(std::filesystem::file_size(file));
  ASSERT_FALSE(std::filesystem::exists(file + "-wal"));
  CompactorOptions options;
  options.catalogue = file;
  options.scratch_directory = scratch_ / "merging";
  options.open_store = [&](const std::string&) { return std::shared_ptr<Store>(store_.get(), [](Store*) {}); };
  std::ifstream whole(file, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(whole), std::istreambuf_iterator<char>()};
  int refused = 0;
  for (std::streamoff at = 0; at < size; at += 997) {
    std::ofstream(file, std::ios::binary | std::ios::trunc) << bytes;
    write_at(file, at, std::string(64, '\x5A'));
    auto opened = Compactor::open(options, clock_, *files_, inline_);
    auto known = opened ? (*opened)->list_segments("r")
                        : Result<std::vector<CatalogueSegment>>(opened.error());
    if (known) continue;
    const ErrorKind kind = known.error().kind();
    EXPECT_TRUE(kind == ErrorKind::corrupt || kind == ErrorKind::invalid || kind == ErrorKind::not_found)
        << known.error().message();
    refused += kind == ErrorKind::corrupt;
    if (kind == ErrorKind::corrupt) {
      EXPECT_THAT(known.error().message(), HasSubstr("remove it"));
    }
  }
  EXPECT_GT(refused, 5);
  std::filesystem::remove(file);
  ASSERT_TRUE(compact(*store_, {}));
}

TEST_F(Knowing, ADatabaseOfAnotherProgramIsNotTouched) {
  const std::string file = scratch_ / "catalogue.db";
  {
    auto theirs = sqlite::LocalDatabase::open(file, "CREATE TABLE t(x)");
    ASSERT_TRUE(theirs);
  }
  const auto bytes = read_file(*files_, file);
  const auto opened = Catalogue::open(file);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().kind(), ErrorKind::invalid);
  EXPECT_THAT(opened.error().message(), HasSubstr("another program"));
  EXPECT_EQ(*read_file(*files_, file), *bytes);
}

TEST_F(Knowing, AFooterComesBackAsItWasOrNotAtAll) {
  publish_plainly(5);
  replica_->merge(1, Sequence(1), Sequence(5), segment::ObjectKind::bundle);
  const auto reader = segment::ObjectReader::open(*store_, segment::merged_key("", 1, Sequence(1), Sequence(5)));
  ASSERT_TRUE(reader);
  segment::Footer footer = (*reader)->footer();
  const Bytes bytes = encode_footer(footer);
  footer.data_size_bytes = 0;
  const auto decoded = decode_footer(bytes);
  ASSERT_TRUE(decoded);
  EXPECT_EQ(*decoded, footer);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    Bytes garbled = bytes;
    garbled[i] ^= std::byte{1};
    EXPECT_FALSE(decode_footer(garbled)) << i;
    EXPECT_FALSE(decode_footer(ByteView(bytes).first(i))) << i;
  }
}

}  // namespace
}  // namespace cairn::compact
