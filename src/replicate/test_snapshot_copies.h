// For tests: snapshots of a database of 8 MiB in a store with rules of its own for parts and copies.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "replicate/local_state.h"
#include "segment/reader.h"
#include "support/part_rules_store.h"
#include "support/stepped_replicator.h"

namespace cairn::replicator_test {

inline constexpr std::uint64_t kLeastPart = 300 << 10, kSentPart = 600 << 10;
inline constexpr int kRowsOfAPage = 2000;  // a page each, of bytes that do not compress: 8 MiB, some 32 blocks

class SnapshotCopiesTest : public ReplicatorTest {
 protected:
  SnapshotCopiesTest() {
    rules_.min_part_bytes = kLeastPart;
    App app(db_path_);
    app.must("PRAGMA page_size=4096; PRAGMA journal_mode=WAL; CREATE TABLE t(id INTEGER PRIMARY KEY, v)");
    app.must(insert(kRowsOfAPage));
    app.must("PRAGMA wal_checkpoint(TRUNCATE)");
  }
  ~SnapshotCopiesTest() override { stop(StopMode::crash); }

  static std::string insert(int rows) {
    return fmt::format("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<{}) "
                       "INSERT INTO t(v) SELECT randomblob(3800) FROM n", rows);
  }
  void must(const std::string& sql) {
    App app(db_path_);
    app.must(sql);
  }
  void open(int level = 3) {
    ReplicatorOptions o = options();
    o.part_bytes = kSentPart;
    o.snapshot_level = level;
    o.snapshot_interval_ms = 0;
    o.copy_unchanged = copy_unchanged_;
    auto opened = Replicator::open(rules_, *files_, executor_, random_, o);
    ASSERT_TRUE(opened) << opened.error().message();
    replicator_ = std::move(*opened);
  }
  // One that is sent whole: what the next ones are copied from.
  void begin() {
    open();
    must_settle();
    ASSERT_EQ(rules_.count(Operation::copy_part), 0u);
  }
  // The next one, with whatever was changed before. It is whole in itself, and a restore gives the database.
  void snapshot() {
    rules_.reset();
    const std::size_t before = keys().size();
    now_.wall_ms += 5'000;  // a key of its own
    replicator_->request_snapshot();
    for (int i = 0; i < 3 && keys().size() == before; ++i) must_settle();  // it may begin anew
    ASSERT_EQ(keys().size(), before + 1);
    expect_good();
  }
  void expect_good() {
    const auto hook = std::exchange(rules_.before, {});
    auto object = segment::ObjectReader::open(*store_, keys().back());
    ASSERT_TRUE(object) << object.error().message();
    const auto verified = (*object)->verify();
    ASSERT_TRUE(verified) << verified.error().message();
    EXPECT_TRUE(restored() == committed());
    EXPECT_TRUE(store_->list_uploads("app/")->empty());
    EXPECT_FALSE(fs::exists(dir_ / "state" / "upload"));
    rules_.before = hook;
  }
  std::vector<std::string> keys() {
    std::vector<std::string> keys;
    const auto page = store_->list("app/snapshots/");
    for (const ObjectInfo& object : page->objects) keys.push_back(object.key);
    return keys;
  }
  std::uint64_t copies() const { return rules_.count(Operation::copy_part); }
  std::uint64_t newest_bytes() { return store_->head(keys().back())->size_bytes; }
  ReplicatorStatus status() const { return replicator_->status(); }
  replicate::LocalRecord record() { return *replicate::LocalState::read_record(*files_, (dir_ / "state").string()); }

  // Before the `nth` call of `operation`, once.
  void before_call(Operation operation, int nth, std::function<Result<void>()> act) {
    rules_.before = [=, this, left = nth](const StoreCall& call) mutable -> Result<void> {
      if (call.operation != operation || --left != 0) return {};
      return act();
    };
  }
  void replace(const std::string& key, const Bytes& bytes) {
    ASSERT_TRUE(store_->put_if(key, BytesSource(bytes), store_->head(key)->etag));
  }

  testing::PartRulesStore rules_{*store_};
  CopyUnchanged copy_unchanged_ = CopyUnchanged::yes;
};

}  // namespace cairn::replicator_test
