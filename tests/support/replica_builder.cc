#include "support/replica_builder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "base/bytes.h"
#include "base/clock.h"
#include "restore/metadata.h"
#include "segment/keys.h"
#include "segment/writer.h"

namespace cairn::testing {
namespace {

class BytesSink final : public segment::Sink {
 public:
  Result<void> write(ByteView part) override {
    bytes.insert(bytes.end(), part.begin(), part.end());
    return {};
  }
  Bytes bytes;
};

template <class T>
T must(Result<T> result) {
  if (!result) {
    ADD_FAILURE() << result.error().message();
    std::abort();
  }
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

Id128 made_id(std::uint8_t first) {
  Id128 id;
  for (std::size_t i = 0; i < id.bytes.size(); ++i) id.bytes[i] = static_cast<std::uint8_t>(first + i);
  return id;
}

}  // namespace

Image Image::of(ByteView file, std::uint32_t page_size) {
  Image image;
  image.page_size = page_size;
  image.page_count = static_cast<std::uint32_t>(file.size() / page_size);
  for (std::uint32_t page = 1; page <= image.page_count; ++page) {
    ByteView bytes = file.subspan(std::size_t{page - 1} * page_size, page_size);
    image.pages[page] = Bytes(bytes.begin(), bytes.end());
  }
  return image;
}

Image Image::of_database(ByteView file) {
  const std::uint32_t stored = load_be16(file.data() + 16);
  return of(file, stored == 1 ? 65536 : stored);
}

Image Image::made(std::uint32_t page_size, std::uint32_t page_count, std::uint64_t seed) {
  Image image;
  image.page_size = page_size;
  for (std::uint32_t page = 1; page <= page_count; ++page) image.change(page, seed);
  return image;
}

Bytes Image::page(std::uint32_t number) const {
  auto found = pages.find(number);
  return found != pages.end() ? found->second : Bytes(page_size);
}

void Image::change(std::uint32_t number, std::uint64_t seed) {
  Bytes bytes(page_size);
  SeededRandom(seed * 1'000'003 + number).fill(bytes, 0x0F0F0F0F0F0F0F0F);
  pages[number] = std::move(bytes);
  page_count = std::max(page_count, number);
}

void Image::resize(std::uint32_t new_page_count) {
  pages.erase(pages.upper_bound(new_page_count), pages.end());
  page_count = new_page_count;
}

std::uint64_t Image::hash() const {
  std::uint64_t sum = 0;
  const Bytes zeros(page_size);
  const PageNo lock_page = segment::lock_byte_page(page_size);
  for (std::uint32_t number = 1; number <= page_count; ++number) {
    if (PageNo(number) == lock_page) continue;
    auto found = pages.find(number);
    sum ^= segment::page_hash(PageNo(number), found != pages.end() ? found->second : zeros);
  }
  return sum;
}

Bytes Image::bytes() const {
  Bytes file(std::size_t{page_count} * page_size);
  for (const auto& [number, bytes] : pages) {
    const auto at = static_cast<std::ptrdiff_t>(std::size_t{number - 1} * page_size);
    std::copy(bytes.begin(), bytes.end(), file.begin() + at);
  }
  return file;
}

ReplicaBuilder::ReplicaBuilder(Store& store, std::string replica, std::uint8_t lineage)
    : store_(store), replica_(std::move(replica)), lineage_(made_id(lineage)), writer_(made_id(99)) {}

void ReplicaBuilder::set_writer(std::uint8_t writer) { writer_ = made_id(writer); }

void ReplicaBuilder::claim() {
  restore::Metadata metadata;
  metadata.lineage = lineage_;
  const std::string json = restore::metadata_json(metadata);
  put(segment::metadata_key(replica_), as_bytes(json));
}

void ReplicaBuilder::begin(const Image& image, std::int64_t time_ms) {
  claim();
  states_.push_back({image, time_ms});
  snapshot();
}

Sequence ReplicaBuilder::add(const Image& image, std::int64_t time_ms) {
  states_.push_back({image, time_ms != 0 ? time_ms : states_.back().time_ms + 1000});
  const Sequence sequence = newest();
  const Run run{sequence, changed(Sequence(sequence.value - 1), sequence)};
  put(segment_key(sequence), segment_bytes(segment::ObjectKind::segment, sequence, sequence, {run}));
  return sequence;
}

Sequence ReplicaBuilder::add_only(const Image& image, const std::vector<std::uint32_t>& pages) {
  states_.push_back({image, states_.back().time_ms + 1000});
  const Sequence sequence = newest();
  put(segment_key(sequence), segment_bytes(segment::ObjectKind::segment, sequence, sequence, {{sequence, pages}}));
  return sequence;
}

void ReplicaBuilder::snapshot(Sequence sequence) {
  const State& state = states_.at(sequence.value);
  const Image& image = state.image;
  segment::ObjectHead head{segment::ObjectKind::snapshot, image.page_size, lineage_, writer_, sequence, sequence,
                           state.time_ms, state.time_ms, 0};
  InlineExecutor executor;
  auto writer = must(segment::SnapshotWriter::open(head, executor));
  std::vector<std::uint64_t> hashes;
  BytesSink sink;
  const std::uint32_t per_block = segment::pages_per_block(image.page_size);
  for (std::uint32_t first = 1; first <= image.page_count; first += per_block) {
    while (!writer->room()) must(writer->drain(sink, 1000));
    Bytes block;
    for (std::uint32_t page = first; page < first + per_block && page <= image.page_count; ++page) {
      const Bytes bytes = image.page(page);
      const bool lock_page = PageNo(page) == segment::lock_byte_page(image.page_size);
      hashes.push_back(lock_page ? 0 : segment::page_hash(PageNo(page), bytes));
      block.insert(block.end(), bytes.begin(), bytes.end());
    }
    writer->add(std::move(block));
  }
  writer->end({sequence, state.time_ms, 1, 0, image.page_count, image.hash()}, hashes);
  while (!must(writer->drain(sink, 1000))) {
  }
  put(snapshot_key(sequence), sink.bytes);
}

// Pages of state `to` that differ from state `from`, or that did not live through all states in between.
std::vector<std::uint32_t> ReplicaBuilder::changed(Sequence from, Sequence to) const {
  std::set<std::uint32_t> found;
  for (std::uint64_t i = from.value + 1; i <= to.value; ++i) {
    const Image& before = states_[i - 1].image;
    const Image& after = states_[i].image;
    const bool all = before.page_size != after.page_size;
    for (std::uint32_t page = all ? 1 : before.page_count + 1; page <= after.page_count; ++page) found.insert(page);
    for (const auto* image : {&before, &after}) {
      for (const auto& [page, bytes] : image->pages) {
        if (page <= after.page_count && (all || before.page(page) != after.page(page))) found.insert(page);
      }
    }
  }
  const Image& last = states_[to.value].image;
  if (found.empty()) found.insert(1);  // a run has at least one page
  found.erase(segment::lock_byte_page(last.page_size).value);
  found.erase(found.upper_bound(last.page_count), found.end());
  return {found.begin(), found.end()};
}

Bytes ReplicaBuilder::segment_bytes(segment::ObjectKind kind, Sequence first, Sequence last,
                                    const std::vector<Run>& runs) const {
  const std::uint32_t page_size = states_[last.value].image.page_size;
  segment::ObjectHead head{kind,  page_size, lineage_, writer_, first, last, states_[first.value].time_ms,
                           states_[last.value].time_ms, states_[first.value - 1].image.hash()};
  BytesSink sink;
  InlineExecutor executor;
  auto writer = must(segment::SegmentWriter::open(head, sink, executor));
  for (const Run& run : runs) {
    const State& state = states_[run.sequence.value];
    for (const std::uint32_t page : run.pages) {
      const Bytes bytes = state.image.page(page);
      must(writer->add_page(PageNo(page), bytes, segment::page_hash(PageNo(page), bytes)));
    }
    must(writer->end_run({run.sequence, state.time_ms, 1, 0, state.image.page_count, state.image.hash()}));
  }
  must(writer->finish());
  return std::move(sink.bytes);
}

void ReplicaBuilder::merge(int level, Sequence first, Sequence last, segment::ObjectKind kind) {
  std::vector<Run> runs;
  if (kind == segment::ObjectKind::squashed) {
    runs.push_back({last, changed(Sequence(first.value - 1), last)});
  } else {
    for (Sequence at = first; at <= last; at = at.next()) runs.push_back({at, changed(Sequence(at.value - 1), at)});
  }
  put(segment::merged_key(replica_, level, first, last), segment_bytes(kind, first, last, runs));
}

std::string ReplicaBuilder::segment_key(Sequence sequence) const { return segment::segment_key(replica_, sequence); }

std::string ReplicaBuilder::snapshot_key(Sequence sequence) const {
  return segment::snapshot_key(replica_, states_.at(sequence.value).time_ms, sequence);
}

void ReplicaBuilder::put(const std::string& key, ByteView bytes) { must(store_.put_new(key, BytesSource(bytes))); }

Bytes get_object(Store& store, const std::string& key) { return must(store.get(key)).bytes; }

void replace_object(Store& store, const std::string& key, ByteView bytes) {
  must(store.remove(key));
  must(store.put_new(key, BytesSource(bytes)));
}

std::map<std::string, Bytes> all_objects(Store& store) {
  std::map<std::string, Bytes> objects;
  std::string after;
  while (true) {
    const ListPage page = must(store.list("", after));
    for (const ObjectInfo& info : page.objects) objects[info.key] = get_object(store, info.key);
    if (!page.more) return objects;
    after = page.objects.back().key;
  }
}

}  // namespace cairn::testing
