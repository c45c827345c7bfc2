// What a replica holds, told by somebody who knows docs/format.md but none of Cairn's code: zstd's own decoder, a dozen
// lines that copy the frames of a WAL to their places, and nothing else. It reads a store again and again, and
// complains when an object changed or vanished, when a sequence is missing, when snapshot and segments disagree, and
// when a restore point is not a committed state, or not in the order in which they were committed. An object may go
// only when a bundle that is there has every restore point of it.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cairn/store.h"
#include "support/page_model.h"

namespace cairn::testing {

class ReplicaOracle {
 public:
  // `store` is the one without faults; it must outlive the oracle.
  ReplicaOracle(Store& store, std::string replica);

  struct Point {
    std::uint64_t sequence = 0;
    ContentHash hash;
    std::uint64_t size_bytes = 0;
    std::size_t state = 0;  // of the model: the earliest that fits
  };

  // From now on anything may go: what has to stay is for others to look at.
  void allow_prunes() { prunes_ = true; }

  // Looks at everything that is new. Empty: nothing to complain of.
  std::string check(const PageModel& model);

  // Ascending, from the first snapshot on: everything that can be restored.
  const std::vector<Point>& points() const { return points_; }
  std::uint64_t newest_sequence() const { return segments_; }
  const Bytes& newest_image() const { return image_; }
  std::size_t snapshots() const { return snapshots_.size(); }
  std::size_t merged_objects() const { return merged_seen_; }
  std::vector<std::string> keys() const;

 private:
  // An object of a level above 0.
  struct Merged {
    std::uint64_t first = 0, last = 0;
    bool has_every_state = false;  // a bundle, with a run for each sequence
    bool holds(std::uint64_t from, std::uint64_t to) const { return has_every_state && first <= from && to <= last; }
  };

  std::string read_objects();
  std::string note_new(const std::string& key);
  std::string note_merged(const std::string& key);
  bool may_be_gone(const std::string& key, const std::map<std::string, ContentHash>& there) const;
  std::string apply_segment(std::uint64_t sequence);
  std::string check_merged(const PageModel& model);
  std::string extend(const PageModel& model);
  std::string add_point(const PageModel& model);
  std::string check_snapshots();
  Result<Bytes> data_of(const std::string& key);

  Store& store_;
  std::string prefix_;
  bool prunes_ = false;
  std::map<std::string, ContentHash> digests_;  // of every object but metadata.json
  std::uint64_t segments_ = 0;                  // 1..segments_ are there, by themselves or in bundles
  std::map<std::string, Merged> merged_;        // that are, or were, there
  std::vector<std::string> unchecked_merged_;
  std::size_t merged_seen_ = 0;
  std::map<std::uint64_t, std::string> snapshots_;  // by sequence; of several, any
  std::vector<std::string> unchecked_snapshots_;
  Bytes image_;                                 // at points_.back()
  std::vector<Point> points_;
};

// The state after a segment: `wal` is its decompressed data, of which runs [first, end) are applied. Empty text: done.
std::string apply_wal(ByteView wal, Bytes& image, std::size_t first = 0, std::size_t end = -1);

// What any zstd makes of an object.
std::optional<Bytes> unzstd(ByteView object);

}  // namespace cairn::testing
