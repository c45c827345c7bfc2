// Replicas for tests, from whole states of a database: the builder publishes a snapshot and segments of what differs,
// and remembers every state, so that a test can ask for what a restore must give.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/executor.h"
#include "base/ids.h"
#include "cairn/store.h"
#include "segment/format.h"

namespace cairn::testing {

// A database as pages. A page that is not in the map is all zeros.
struct Image {
  std::uint32_t page_size = 4096;
  std::uint32_t page_count = 0;
  std::map<std::uint32_t, Bytes> pages;

  static Image of(ByteView file, std::uint32_t page_size);
  // The file's own header says the page size.
  static Image of_database(ByteView file);
  // Pages 1..page_count, each different from every other and from those of another seed.
  static Image made(std::uint32_t page_size, std::uint32_t page_count, std::uint64_t seed);

  Bytes page(std::uint32_t number) const;
  // Gives it other bytes; grows the database when it lies beyond the end.
  void change(std::uint32_t number, std::uint64_t seed);
  void resize(std::uint32_t new_page_count);  // growing adds pages of zeros
  std::uint64_t hash() const;                 // the database hash
  Bytes bytes() const;
};

class ReplicaBuilder {
 public:
  ReplicaBuilder(Store& store, std::string replica, std::uint8_t lineage = 1);

  // metadata.json, and a snapshot of `image` at sequence 0.
  void begin(const Image& image, std::int64_t time_ms = 1'000'000);
  // The next level-0 segment: what differs from the last state. Returns its sequence.
  Sequence add(const Image& image, std::int64_t time_ms = 0 /* a second after the last */);
  // The same, but with only these pages in it, though it claims the hashes of the whole: a segment that lies.
  Sequence add_only(const Image& image, const std::vector<std::uint32_t>& pages);
  // A snapshot of the newest state, or of an older one.
  void snapshot() { snapshot(Sequence(states_.size() - 1)); }
  void snapshot(Sequence sequence);
  // A merged segment of existing states.
  void merge(int level, Sequence first, Sequence last, segment::ObjectKind kind);
  // Who makes all that comes: another than before.
  void set_writer(std::uint8_t writer);
  // metadata.json alone.
  void claim();

  const Image& state(Sequence sequence) const { return states_.at(sequence.value).image; }
  Sequence newest() const { return Sequence(states_.size() - 1); }
  std::int64_t time_ms(Sequence sequence) const { return states_.at(sequence.value).time_ms; }
  Id128 lineage() const { return lineage_; }
  const std::string& replica() const { return replica_; }

  // Keys, for tests that break things.
  std::string segment_key(Sequence sequence) const;
  std::string snapshot_key(Sequence sequence) const;

 private:
  struct State {
    Image image;
    std::int64_t time_ms = 0;
  };
  struct Run {
    Sequence sequence;
    std::vector<std::uint32_t> pages;
  };
  std::vector<std::uint32_t> changed(Sequence from, Sequence to) const;
  Bytes segment_bytes(segment::ObjectKind kind, Sequence first, Sequence last, const std::vector<Run>& runs) const;
  void put(const std::string& key, ByteView bytes);

  Store& store_;
  std::string replica_;
  Id128 lineage_, writer_;
  std::vector<State> states_;
};

// Every change a store may suffer, for tests.
Bytes get_object(Store& store, const std::string& key);
void replace_object(Store& store, const std::string& key, ByteView bytes);
std::map<std::string, Bytes> all_objects(Store& store);

}  // namespace cairn::testing
