// Histories of a database for the tests of merging, and the slow and obvious way to make the objects that a merge must
// make.
#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "segment/test_objects.h"

namespace cairn::segment::testing {

struct HistoryRun {
  Pages pages;
  RestorePoint point;
};

class History {
 public:
  // `before`: the state that the first run builds on.
  History(std::uint32_t page_size, Pages before, std::uint64_t first_sequence = 1)
      : page_size_(page_size), first_(first_sequence), states_{std::move(before)} {}

  std::uint32_t page_size() const { return page_size_; }
  std::size_t size() const { return runs_.size(); }
  // After run `i`; 0: before the first.
  const Pages& state(std::size_t i) const { return states_[i]; }
  std::uint32_t page_count(std::size_t i) const { return i == 0 ? count_before() : runs_[i - 1].point.page_count; }
  std::vector<HistoryRun> runs(std::size_t begin, std::size_t end) const {
    return {runs_.begin() + static_cast<std::ptrdiff_t>(begin), runs_.begin() + static_cast<std::ptrdiff_t>(end)};
  }

  // The next run: these pages, and a database of that many.
  void add(const Pages& pages, std::uint32_t page_count) {
    Pages state = states_.back();
    state.erase(state.upper_bound(page_count), state.end());
    for (const auto& [number, bytes] : pages) state[number] = bytes;
    const std::uint64_t i = runs_.size();
    RestorePoint point;
    point.sequence = Sequence(first_ + i);
    point.time_ms = 1'700'000'000'000 + static_cast<std::int64_t>(1000 * i);
    point.commit_count = static_cast<std::uint32_t>(1 + i % 3);
    point.page_count = page_count;
    point.hash_after = hash_of(state);
    runs_.push_back({pages, point});
    states_.push_back(std::move(state));
  }

  // The next run: what leads to this database file.
  void add_state(const Bytes& file) {
    Pages pages;
    const auto page_count = static_cast<std::uint32_t>(file.size() / page_size_);
    for (std::uint32_t page = 1; page <= page_count; ++page) {
      const ByteView bytes = ByteView(file).subspan(std::size_t{page - 1} * page_size_, page_size_);
      const auto known = states_.back().find(page);
      if (known != states_.back().end() && std::equal(bytes.begin(), bytes.end(), known->second.begin())) continue;
      pages[page] = Bytes(bytes.begin(), bytes.end());
    }
    add(pages, page_count);
  }

  // Grows, shrinks, or changes pages here and there; pages that come back come with other bytes.
  void add_random(SeededRandom& random) {
    const std::uint32_t before = page_count(size());
    std::uint32_t count = before;
    if (random.chance(1, 4)) count = 1 + static_cast<std::uint32_t>(random.below(before));
    if (random.chance(1, 3)) count += static_cast<std::uint32_t>(random.below(20));
    Pages pages;
    for (std::uint32_t page = before + 1; page <= count; ++page) pages[page] = made_page(page_size_, random.next());
    for (std::uint64_t n = 1 + random.below(8); n > 0; --n) {
      const auto page = static_cast<std::uint32_t>(random.chance(1, 3) ? 1 : 1 + random.below(count));
      pages[page] = made_page(page_size_, random.next());
    }
    add(pages, count);
  }

  // The hashes of the state before run `i`, page after page.
  std::vector<std::uint64_t> hashes(std::size_t i) const {
    std::vector<std::uint64_t> hashes(page_count(i));
    for (const auto& [number, bytes] : states_[i]) hashes[number - 1] = page_hash(PageNo(number), bytes);
    return hashes;
  }

  // Runs [begin, end) as one: whatever of them is still there at the end.
  HistoryRun squashed(std::size_t begin, std::size_t end) const {
    HistoryRun run;
    std::uint32_t commits = 0;
    for (std::size_t i = begin; i < end; ++i) {
      run.pages.erase(run.pages.upper_bound(runs_[i].point.page_count), run.pages.end());
      for (const auto& [number, bytes] : runs_[i].pages) run.pages[number] = bytes;
      commits += runs_[i].point.commit_count;
    }
    run.point = runs_[end - 1].point;
    run.point.commit_count = commits;
    return run;
  }

  // An object of runs [begin, end) of the history, whose own runs are `runs`.
  Result<Bytes> object(ObjectKind kind, std::size_t begin, std::size_t end, const std::vector<HistoryRun>& runs,
                       int level = 1) const {
    ObjectHead head = made_head(kind, page_size_, first_ + begin, first_ + end - 1);
    head.first_time_ms = runs_[begin].point.time_ms;
    head.last_time_ms = runs_[end - 1].point.time_ms;
    head.hash_before = begin == 0 ? hash_of(states_[0]) : runs_[begin - 1].point.hash_after;
    InlineExecutor executor;
    BytesSink sink;
    CAIRN_ASSIGN(auto writer, SegmentWriter::open(head, sink, executor, level));
    for (const HistoryRun& run : runs) {
      for (const auto& [number, bytes] : run.pages)
        CAIRN_TRY(writer->add_page(PageNo(number), bytes, page_hash(PageNo(number), bytes)));
      CAIRN_TRY(writer->end_run(run.point));
    }
    CAIRN_TRY(writer->finish());
    return std::move(sink.bytes);
  }
  Bytes segment(std::size_t i) const { return *object(ObjectKind::segment, i, i + 1, runs(i, i + 1)); }
  Bytes bundle(std::size_t begin, std::size_t end) const {
    return *object(ObjectKind::bundle, begin, end, runs(begin, end));
  }
  Bytes squash(std::size_t begin, std::size_t end) const {
    return *object(ObjectKind::squashed, begin, end, {squashed(begin, end)});
  }

 private:
  static std::uint64_t hash_of(const Pages& state) {
    std::uint64_t hash = 0;
    for (const auto& [number, bytes] : state) hash ^= page_hash(PageNo(number), bytes);
    return hash;
  }
  std::uint32_t count_before() const { return states_[0].empty() ? 0 : states_[0].rbegin()->first; }

  std::uint32_t page_size_;
  std::uint64_t first_;
  std::vector<Pages> states_;  // the lock-byte page is in none
  std::vector<HistoryRun> runs_;
};

inline History random_history(std::uint32_t page_size, std::uint64_t seed, std::size_t length,
                              std::uint64_t first_sequence = 1) {
  SeededRandom random(seed);
  Pages before;
  for (std::uint32_t page = 1, count = 1 + static_cast<std::uint32_t>(random.below(30)); page <= count; ++page)
    before[page] = made_page(page_size, random.next());
  History history(page_size, std::move(before), first_sequence);
  while (history.size() < length) history.add_random(random);
  return history;
}

// Objects in memory, opened: the inputs of a merge.
class Inputs {
 public:
  Inputs() = default;
  explicit Inputs(std::vector<Bytes> objects) {
    for (Bytes& object : objects) {
      const Result<void> added = add(std::move(object), "input " + std::to_string(readers_.size()));
      EXPECT_TRUE(added) << added.error().message();
    }
  }
  Result<void> add(Bytes object, const std::string& name) {
    objects_.push_back(std::make_unique<Bytes>(std::move(object)));
    sources_.push_back(std::make_unique<BytesSource>(*objects_.back()));
    CAIRN_ASSIGN(auto reader, ObjectReader::open(*sources_.back(), name));
    readers_.push_back(std::move(reader));
    return {};
  }
  std::vector<ObjectReader*> readers() const {
    std::vector<ObjectReader*> all;
    for (const auto& reader : readers_) all.push_back(reader.get());
    return all;
  }

 private:
  std::vector<std::unique_ptr<Bytes>> objects_;
  std::vector<std::unique_ptr<BytesSource>> sources_;
  std::vector<std::unique_ptr<ObjectReader>> readers_;
};

}  // namespace cairn::segment::testing
