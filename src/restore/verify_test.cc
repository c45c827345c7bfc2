// What verify, history, list and head say of whole and of broken replicas.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include "base/bytes.h"
#include "restore/head.h"
#include "restore/metadata.h"
#include "restore/test_replica.h"
#include "segment/keys.h"
#include "store/faulty.h"

namespace cairn::restore {
namespace {

using cairn::testing::get_object;
using cairn::testing::Image;
using cairn::testing::replace_object;
using cairn::testing::ReplicaBuilder;
using segment::ObjectKind;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Ge;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Le;

class Verify : public testing::ReplicaTest {
 protected:
  Verify() : replica_(*store_, "app.db") {
    Image image = Image::made(512, 40, 1);
    replica_.begin(image);
    for (std::uint32_t i = 1; i <= 6; ++i) {
      image.change(i * 3, 100 + i);
      if (i == 3) image.resize(30);
      if (i == 4) image.resize(45);
      replica_.add(image);
      if (i == 4) replica_.snapshot();
    }
  }
  std::string key(std::uint64_t sequence) const { return replica_.segment_key(Sequence(sequence)); }
  VerifyReport verify(VerifyDepth depth = VerifyDepth::chain) { return verify(*store_, depth); }
  VerifyReport verify(Store& store, VerifyDepth depth = VerifyDepth::chain) {
    auto report = verify_replica(store, "app.db", depth, path("scratch"), *files_, *executor_);
    EXPECT_TRUE(report) << report.error().message();
    return report ? *report : VerifyReport{};
  }

  ReplicaBuilder replica_;
};

TEST_F(Verify, AWholeReplicaHasNoProblems) {
  const VerifyReport report = verify();
  EXPECT_THAT(report.problems, IsEmpty());
  EXPECT_THAT(report.notes, IsEmpty());
  EXPECT_EQ(report.objects, 8u);
  EXPECT_EQ(report.restore_points, 7u);
  EXPECT_GT(report.size_bytes, 0u);
}

TEST_F(Verify, MergedSegmentsBesideTheirSourcesAreNoProblem) {
  replica_.merge(1, Sequence(1), Sequence(3), ObjectKind::bundle);
  replica_.merge(2, Sequence(1), Sequence(6), ObjectKind::squashed);
  EXPECT_THAT(verify().problems, IsEmpty());
  for (std::uint64_t i = 1; i <= 3; ++i) ASSERT_TRUE(store_->remove(key(i)));
  EXPECT_THAT(verify().problems, IsEmpty());
}

TEST_F(Verify, R11_APhantomReplicaIsNotFound) {
  auto store = make_memory_store();
  for (const bool claimed : {false, true}) {
    if (claimed) ReplicaBuilder(*store, "app.db").claim();
    auto report = verify_replica(*store, "app.db", VerifyDepth::chain, path("scratch"), *files_, *executor_);
    ASSERT_FALSE(report);
    EXPECT_EQ(report.error().kind(), ErrorKind::not_found);
  }
}

TEST_F(Verify, EveryDefectIsAProblemThatNamesTheObject) {
  const Bytes whole = get_object(*store_, key(3));
  ASSERT_TRUE(store_->remove(key(3)));
  EXPECT_THAT(verify().problems, ElementsAre(HasSubstr("segment 3 is missing")));
  EXPECT_EQ(verify().restore_points, 6u);  // 0..2 and from the snapshot at 4 on

  ASSERT_TRUE(store_->put_new(key(3), BytesSource(ByteView(whole).first(whole.size() / 2))));
  EXPECT_THAT(verify().problems, Contains(HasSubstr(key(3))));

  for (const std::size_t at : {std::size_t{10}, whole.size() / 2, whole.size() - 20}) {
    Bytes flipped = whole;
    flipped[at] ^= std::byte{1};
    replace_object(*store_, key(3), flipped);
    EXPECT_THAT(verify().problems, Contains(HasSubstr(key(3)))) << "byte " << at;
  }
  replace_object(*store_, key(3), whole);
  EXPECT_THAT(verify().problems, IsEmpty());
}

// What is lost at the end leaves no hole; the claim says that it was published.
TEST_F(Verify, ALostEndIsAProblem) {
  ASSERT_TRUE(claim_before_removing(*store_, "app.db", Sequence(6), Sequence(6)));
  EXPECT_THAT(verify().problems, IsEmpty());
  const Bytes newest = get_object(*store_, key(6));
  ASSERT_TRUE(store_->remove(key(6)));
  EXPECT_THAT(verify().problems, ElementsAre(HasSubstr("sequence 6 was published")));
  EXPECT_FALSE(restore(*store_, {})) << "as a restore says";
  ASSERT_TRUE(store_->put_new(key(6), BytesSource(newest)));
  ASSERT_TRUE(claim_before_removing(*store_, "app.db", Sequence(7), Sequence(7)));
  replica_.add(replica_.state(Sequence(2)));
  EXPECT_THAT(verify().problems, IsEmpty()) << "more was published meanwhile";
}

TEST_F(Verify, AForeignObjectIsAProblem) {
  auto other_store = make_memory_store();
  ReplicaBuilder other(*other_store, "app.db", 77);
  other.begin(replica_.state(Sequence(0)));
  for (std::uint64_t i = 1; i <= 6; ++i) other.add(replica_.state(Sequence(i)));
  replace_object(*store_, key(6), get_object(*other_store, other.segment_key(Sequence(6))));
  EXPECT_THAT(verify().problems, Contains(HasSubstr("belongs to another history")));
}

TEST_F(Verify, ASnapshotOfAnotherStateIsAProblem) {
  auto other_store = make_memory_store();
  ReplicaBuilder other(*other_store, "app.db");
  Image image = replica_.state(Sequence(0));
  other.begin(image);
  for (std::uint32_t i = 1; i <= 4; ++i) {
    image.change(i, 500 + i);
    other.add(image);
  }
  other.snapshot();
  replace_object(*store_, replica_.snapshot_key(Sequence(4)),
                 get_object(*other_store, other.snapshot_key(Sequence(4))));
  EXPECT_THAT(verify().problems, Contains(HasSubstr("disagree about the state at sequence 4")));
}

// A segment that lacks a page but claims the right hashes: no object shows it by itself.
TEST_F(Verify, ASegmentThatLacksAPageIsFoundByPlayingTheHashesThrough) {
  auto store = make_memory_store();
  ReplicaBuilder replica(*store, "app.db");
  Image image = Image::made(512, 20, 1);
  replica.begin(image);
  image.change(3, 2);
  image.change(4, 2);
  replica.add_only(image, {3});
  EXPECT_THAT(verify(*store).problems, ElementsAre(HasSubstr("do not add up to the database hash")));
  EXPECT_THAT(expect_refused(*store, {}, ErrorKind::corrupt), HasSubstr("do not add up to its database hash"));
}

TEST_F(Verify, AFailingStoreIsAnErrorNotAProblem) {
  FaultPlan plan;
  SeededRandom random(1);
  plan.of(Operation::get).before = 300;
  plan.of(Operation::get_suffix).before = 300;
  auto faulty = make_faulty_store(*store_, plan, random);
  auto report = verify_replica(*faulty, "app.db", VerifyDepth::chain, path("scratch"), *files_, *executor_);
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().kind(), ErrorKind::retry_later);
}

TEST_F(Verify, DeepAsksSqliteAboutTheRestoredDatabase) {
  // These pages are no database: only `deep` can know.
  EXPECT_THAT(verify(VerifyDepth::deep).problems, Contains(HasSubstr("SQLite says")));
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open(path("source.db").c_str(), &database), SQLITE_OK);
  sqlite3_exec(database, "PRAGMA journal_mode=WAL; CREATE TABLE t(a); INSERT INTO t VALUES (1)", nullptr, nullptr,
               nullptr);
  sqlite3_close(database);
  auto store = make_memory_store();
  ReplicaBuilder replica(*store, "app.db");
  replica.begin(Image::of_database(read("source.db")));
  EXPECT_THAT(verify(*store, VerifyDepth::deep).problems, IsEmpty());
  EXPECT_TRUE(std::filesystem::is_empty(path("scratch"))) << "scratch files are removed";
}

// SQLite complains of every state of it: these pages are no database.
TEST_F(Verify, DeepAsksAboutStatesOfTheWholeHistory) {
  auto sampled = [&](std::uint64_t samples) {
    auto report =
        verify_replica(*store_, "app.db", VerifyDepth::deep, path("scratch"), *files_, *executor_, {}, samples);
    EXPECT_TRUE(report) << report.error().message();
    for (const std::uint64_t sequence : report->sampled) {
      EXPECT_THAT(report->problems, Contains(HasSubstr("(sequence " + std::to_string(sequence) + ")")));
    }
    return report->sampled;
  };
  EXPECT_THAT(sampled(1), ElementsAre(6));
  EXPECT_THAT(sampled(2), ElementsAre(0, 6));
  EXPECT_THAT(sampled(4), ElementsAre(0, AllOf(Ge(1u), Le(3u)), AllOf(Ge(4u), Le(5u)), 6));
  EXPECT_EQ(sampled(4), sampled(4)) << "as long as nothing is published";
  EXPECT_THAT(sampled(7), ElementsAre(0, 1, 2, 3, 4, 5, 6));
  EXPECT_THAT(sampled(1000), ElementsAre(0, 1, 2, 3, 4, 5, 6));
  EXPECT_EQ(verify(VerifyDepth::deep).sampled.size(), kVerifySamples);
  EXPECT_THAT(verify().sampled, IsEmpty());
}

TEST_F(Verify, DeepFindsADamagedStateInTheMiddle) {
  Bytes damaged = get_object(*store_, key(2));
  damaged[10] ^= std::byte{1};
  replace_object(*store_, key(2), damaged);
  // What it spoils (2 and 3) is no restore point any more; all else is still asked about.
  const VerifyReport report = verify(VerifyDepth::deep);
  EXPECT_THAT(report.problems, Contains(HasSubstr(key(2))));
  EXPECT_THAT(report.sampled, ElementsAre(0, 1, 4, 5, 6));
}

TEST_F(Verify, HistoryNamesEachStateOnceAndOnlyWhatCanBeRestored) {
  replica_.merge(1, Sequence(1), Sequence(3), ObjectKind::bundle);
  auto points = list_restore_points(*store_, "app.db");
  ASSERT_TRUE(points) << points.error().message();
  ASSERT_EQ(points->size(), 7u);
  for (std::uint64_t i = 0; i < 7; ++i) {
    const RestorePointInfo& point = (*points)[i];
    EXPECT_EQ(point.sequence, i);
    EXPECT_EQ(point.database_hash, replica_.state(Sequence(i)).hash());
    EXPECT_EQ(point.page_count, replica_.state(Sequence(i)).page_count);
    EXPECT_EQ(point.time_ms, replica_.time_ms(Sequence(i)));
    EXPECT_EQ(point.is_snapshot, i == 0 || i == 4);
  }
  ASSERT_TRUE(store_->remove(key(3)));
  EXPECT_EQ(list_restore_points(*store_, "app.db")->size(), 7u) << "the bundle still holds it";
  ASSERT_TRUE(store_->remove(segment::merged_key("app.db", 1, Sequence(1), Sequence(3))));
  points = list_restore_points(*store_, "app.db");
  ASSERT_TRUE(points);
  for (const RestorePointInfo& point : *points) expect_restores(*store_, replica_, Sequence(point.sequence));
  EXPECT_EQ(points->size(), 6u);
}

TEST_F(Verify, HistorySaysWhatARestoreOfEachStateTakes) {
  replica_.merge(1, Sequence(1), Sequence(3), ObjectKind::bundle);
  replica_.merge(2, Sequence(5), Sequence(6), ObjectKind::squashed);
  auto history = read_history(*store_, "app.db");
  ASSERT_TRUE(history) << history.error().message();
  EXPECT_EQ(history->objects.size(), 10u);
  ASSERT_EQ(history->points.size(), 7u);
  for (const HistoryPoint& point : history->points) {
    SCOPED_TRACE(point.state.sequence);
    RestoreOptions options;
    options.overwrite = Overwrite::replace;
    auto restored = restore(*store_, testing::at_sequence(point.state.sequence), options);
    ASSERT_TRUE(restored) << restored.error().message();
    EXPECT_EQ(point.restore_objects, restored->plan.objects.size());
    EXPECT_EQ(point.restore_bytes, restored->plan.size_bytes) << "all of small objects";
    EXPECT_GT(point.restore_requests, 0u);
  }
  EXPECT_EQ(history->points[3].restore_objects, 2u) << "the snapshot and the bundle";
  EXPECT_EQ(history->points[6].restore_objects, 2u) << "the snapshot and the squashed segment";
}

TEST_F(Verify, ListFindsReplicasBelowAFolderAndNothingElse) {
  ReplicaBuilder(*store_, "apps/two.db", 2).begin(Image::made(512, 3, 2));
  ReplicaBuilder(*store_, "apps2/three.db", 3).begin(Image::made(512, 3, 3));
  ReplicaBuilder(*store_, "apps/claimed.db", 4).claim();
  ASSERT_TRUE(store_->put_new("apps/notes/metadata.json", BytesSource(as_bytes("{\"title\": \"not Cairn's\"}"))));
  ASSERT_TRUE(store_->put_new("apps/wal/readme.txt", BytesSource(as_bytes("hello"))));
  auto names = [&](std::string_view prefix) {
    auto replicas = list_replicas(*store_, prefix);
    EXPECT_TRUE(replicas) << replicas.error().message();
    std::vector<std::string> found;
    for (const ReplicaInfo& info : *replicas) found.push_back(info.path);
    return found;
  };
  EXPECT_THAT(names(""), ElementsAre("app.db", "apps/claimed.db", "apps/two.db", "apps2/three.db"));
  EXPECT_THAT(names("apps"), ElementsAre("apps/claimed.db", "apps/two.db"));
  EXPECT_THAT(names("apps/"), ElementsAre("apps/claimed.db", "apps/two.db"));
  EXPECT_THAT(names("app.db"), ElementsAre("app.db"));
  const ReplicaInfo info = list_replicas(*store_, "app.db")->front();
  EXPECT_EQ(info.newest_sequence, 6u);
  EXPECT_EQ(info.newest_time_ms, replica_.time_ms(Sequence(6)));
  EXPECT_EQ(info.lineage, replica_.lineage().hex());
  EXPECT_EQ(info.snapshot_count, 2u);
  EXPECT_EQ(info.segment_count, 6u);
}

TEST_F(Verify, HeadSaysWhereTheHistoryEnds) {
  auto head = read_head(*store_, "app.db");
  ASSERT_TRUE(head) << head.error().message();
  EXPECT_EQ(head->newest.value, 6u);
  EXPECT_EQ(head->key, key(6));
  EXPECT_EQ(head->footer.hash_after(), replica_.state(Sequence(6)).hash());
  EXPECT_EQ(head->lineage, replica_.lineage());
  EXPECT_TRUE(head->has_snapshot);
  EXPECT_EQ(head->newest_snapshot.value, 4u);

  auto none = read_head(*store_, "other.db");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().kind(), ErrorKind::not_found);
  ReplicaBuilder fresh(*store_, "fresh.db", 5);
  fresh.begin(Image::made(512, 3, 2));
  auto begun = read_head(*store_, "fresh.db");
  ASSERT_TRUE(begun);
  EXPECT_EQ(begun->newest.value, 0u);
  EXPECT_EQ(begun->footer.kind, ObjectKind::snapshot);
}

TEST_F(Verify, HeadAtASnapshotNamesTheSegmentThatEndsThere) {
  replica_.snapshot();
  EXPECT_EQ(read_head(*store_, "app.db")->key, key(6));
}

TEST_F(Verify, HeadRefusesAForeignNewestObject) {
  auto other_store = make_memory_store();
  ReplicaBuilder other(*other_store, "app.db", 77);
  other.begin(replica_.state(Sequence(0)));
  for (std::uint64_t i = 1; i <= 6; ++i) other.add(replica_.state(Sequence(i)));
  replace_object(*store_, key(6), get_object(*other_store, other.segment_key(Sequence(6))));
  auto head = read_head(*store_, "app.db");
  ASSERT_FALSE(head);
  EXPECT_EQ(head.error().kind(), ErrorKind::conflict);
}

class PageHashTable : public Verify {
 protected:
  void expect_hashes_of(Sequence at) {
    const Image& image = replica_.state(at);
    std::vector<std::uint64_t> table;
    const HashTable make = [&](std::uint32_t page_size, std::uint32_t page_count) -> Result<std::span<std::uint64_t>> {
      EXPECT_EQ(page_size, 512u);
      table.assign(page_count, 4711);
      return std::span(table);
    };
    auto point = read_page_hashes(*store_, "app.db", at, make);
    ASSERT_TRUE(point) << point.error().message();
    EXPECT_EQ(point->hash_after, image.hash());
    ASSERT_EQ(table.size(), image.page_count);
    for (std::uint32_t page = 1; page <= image.page_count; ++page) {
      EXPECT_EQ(table[page - 1], segment::page_hash(PageNo(page), image.page(page))) << page;
    }
  }
  Error refusal(Sequence at) {
    std::vector<std::uint64_t> table(100);
    auto point = read_page_hashes(*store_, "app.db", at, [&](std::uint32_t, std::uint32_t page_count) {
      return Result<std::span<std::uint64_t>>(std::span(table).first(page_count));
    });
    EXPECT_FALSE(point);
    return point ? Error(ErrorKind::io, "") : point.error();
  }
  void damage_the_end_of(const std::string& of) {
    Bytes bytes = get_object(*store_, of);
    bytes[bytes.size() - 3] ^= std::byte{1};
    replace_object(*store_, of, bytes);
  }
};

TEST_F(PageHashTable, OfEveryStateIsRebuiltFromIndexesAlone) {
  replica_.merge(1, Sequence(1), Sequence(3), ObjectKind::bundle);
  for (Sequence at; at <= replica_.newest(); at = at.next()) expect_hashes_of(at);
}

// As a restore does: by an older snapshot and what is behind it, and by what was merged.
TEST_F(PageHashTable, IsRebuiltAroundWhatIsDamaged) {
  replica_.merge(1, Sequence(1), Sequence(5), ObjectKind::bundle);
  damage_the_end_of(replica_.snapshot_key(Sequence(4)));
  damage_the_end_of(key(5));
  for (Sequence at; at <= replica_.newest(); at = at.next()) expect_hashes_of(at);
  damage_the_end_of(segment::merged_key("app.db", 1, Sequence(1), Sequence(5)));
  const Error refused = refusal(Sequence(6));
  EXPECT_EQ(refused.kind(), ErrorKind::corrupt);
  EXPECT_THAT(refused.message(), AllOf(HasSubstr("sequence 6 cannot be restored without what is damaged"),
                                       HasSubstr(key(5)), HasSubstr("cairn verify --repair")));
  expect_hashes_of(Sequence(4));
}

TEST(MetadataJson, ComesBackAsItWasWritten) {
  Metadata metadata;
  metadata.lineage.bytes.fill(0xAB);
  metadata.page_size = 4096;
  metadata.latest_snapshot = "app.db/snapshots/x";
  metadata.latest_snapshot_time_ms = 1'700'000'000'000;
  metadata.latest_wal_sequence = 17;
  metadata.snapshot_count = 2;
  metadata.last_modified_ms = 1'700'000'000'123;
  auto parsed = parse_metadata(metadata_json(metadata));
  ASSERT_TRUE(parsed) << parsed.error().message();
  EXPECT_EQ(*parsed, metadata);
}

TEST(MetadataJson, WhatIsNotOursIsCorruptAndWhatIsNewerIsUnsupported) {
  for (const char* text : {"", "{", "[]", "{}", R"({"format": 1})", R"({"format": 1, "db_identifier": "xyz"})",
                           R"({"format": "1", "db_identifier": "000102030405060708090a0b0c0d0e0f"})",
                           R"({"format": 1, "db_identifier": "00000000000000000000000000000000"})"}) {
    auto parsed = parse_metadata(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error().kind(), ErrorKind::corrupt) << text;
  }
  auto newer = parse_metadata(R"({"format": 2, "db_identifier": "000102030405060708090a0b0c0d0e0f"})");
  ASSERT_FALSE(newer);
  EXPECT_EQ(newer.error().kind(), ErrorKind::unsupported);
}

}  // namespace
}  // namespace cairn::restore
