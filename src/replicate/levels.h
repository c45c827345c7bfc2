// Merging what is published, by time, from what is left of it on the local disk (kept.h); and removing from the store
// what a bundle there has as well. docs/architecture.md, "Levels", says why so.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "replicate/file_sink.h"
#include "replicate/kept.h"
#include "replicate/patience.h"
#include "replicate/removals.h"
#include "replicate/rest.h"
#include "replicate/shared.h"
#include "segment/format.h"

namespace cairn::replicate {

class Levels {
 public:
  explicit Levels(Shared& shared);
  Step step(const Time& now);
  void close();
  // When there is something to do if nothing more is published. No step may be running.
  std::int64_t due_us(const Time& now);
  void remember(Remembered& known) const;
  const UpkeepTrouble& trouble() const { return merge_trouble_.words.empty() ? removal_trouble_ : merge_trouble_; }

 private:
  // The beginning of what waits for a level.
  struct Group {
    std::size_t size = 0;
    bool is_closed = false;  // nothing more comes to it
  };
  // A merged object, in memory or in the partial file, on its way into the store.
  struct Merged {
    std::size_t level = 0;  // index into waiting_: of what it was made of
    std::size_t sources = 0;
    std::uint64_t file_hash = 0;
    KeptObject object;
    segment::Footer footer;
  };

  bool load(const Time& now);
  void take_new(const Time& now);
  void keep_within_limit();
  std::int64_t next_us(const Time& now) const;

  // Which objects become one.
  std::size_t level_count() const { return waiting_.size(); }
  bool is_bundle(std::size_t level) const;
  std::size_t least_sources(std::size_t level) const;
  bool belongs_with(std::size_t level, const KeptObject& before, const KeptObject& next) const;
  const KeptObject* follower(std::size_t level) const;
  Group first_group(std::size_t level, const Time& now) const;
  bool ends_wider_window(std::size_t level, const Group& group) const;
  bool nothing_waits_below(std::size_t level) const;
  void merge_next(const Time& now);
  void pass_on(std::size_t level, std::size_t count, bool is_merged_at_once);
  void wait_for(std::size_t level, KeptObject object);
  void let_go(std::size_t level, std::size_t count);

  // Making one of them (levels_merge.cc).
  void merge(std::size_t level, std::size_t count, const Time& now);
  Result<segment::Footer> write_merged(std::size_t level, std::size_t count, WrittenFile& written);
  void put_merged(const Time& now);
  Result<void> expect_our_replica(const Time& now);
  Result<bool> still_has(const KeptObject& source);
  Result<std::optional<ObjectInfo>> put(const std::string& key, bool& is_new);
  void finish_merged(const std::optional<ObjectInfo>& there);
  std::vector<ReplacedRange> sources_of(const Merged& merged) const;

  // Removing.
  void count_waiting_time(const Time& now);
  bool removal_is_due(const Time& now) const;
  void remove_replaced(const Time& now);
  Result<std::uint64_t> remove_replaced_by(const Removal& removal);
  Result<void> note_where_the_head_is(const Removal& removal);

  void report();

  static constexpr std::int64_t kTryAgain_us = 30'000'000, kTryRightsAgain_us = 3600'000'000;

  Shared& shared_;
  std::vector<std::deque<KeptObject>> waiting_;  // [n]: to become part of an object of level n + 1
  std::optional<Merged> merged_;
  Removals removals_;
  bool loaded_ = false;
  std::int64_t now_us_ = 0;  // of the step

  Patience patience_;
  std::int64_t not_before_us_ = 0;          // the next merge or put
  std::int64_t remove_not_before_us_ = 0;
  std::int64_t counted_us_ = -1;            // up to there the time is counted for which removals have waited
  std::optional<Id128> seen_claim_;         // whose it is, when it was looked at last
  std::int64_t seen_claim_us_ = 0;
  Sequence claimed_;                        // metadata.json says that at least this was published
  void count_error(ErrorKind kind);
  UpkeepTrouble merge_trouble_, removal_trouble_;
};

}  // namespace cairn::replicate
