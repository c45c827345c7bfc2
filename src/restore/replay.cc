#include "restore/replay.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <span>
#include <tuple>

#include "segment/reader.h"

namespace cairn::restore {
namespace {

constexpr std::uint64_t kLargestTableInMemory = 16u << 20;
constexpr std::uint64_t kHashesReplayed = 64 * 1024;

// Room for the largest state of the history.
class Table {
 public:
  // Null: too large for memory and no scratch folder.
  static Result<std::unique_ptr<Table>> make(FileSystem& files, const std::string& scratch, std::uint64_t pages) {
    auto table = std::make_unique<Table>();
    if (scratch.empty()) {
      if (pages * sizeof(std::uint64_t) > kLargestTableInMemory) return std::unique_ptr<Table>();
      table->memory_.resize(pages);
      return table;
    }
    CAIRN_TRY(files.make_directories(scratch));
    table->files_ = &files;
    table->path_ = join_path(scratch, "cairn-verify.hashes");
    CAIRN_TRY(files.remove(table->path_));
    CAIRN_ASSIGN(table->mapped_, files.map(table->path_, std::max<std::uint64_t>(1, pages) * sizeof(std::uint64_t)));
    return table;
  }
  ~Table() {
    mapped_.reset();
    if (files_ != nullptr) (void)files_->remove(path_);  // scratch: best effort
  }

  std::span<std::uint64_t> hashes() {
    if (!mapped_) return memory_;
    const std::span<std::byte> bytes = mapped_->bytes();
    return {reinterpret_cast<std::uint64_t*>(bytes.data()), bytes.size() / sizeof(std::uint64_t)};
  }

 private:
  std::vector<std::uint64_t> memory_;
  std::unique_ptr<MappedFile> mapped_;
  FileSystem* files_ = nullptr;
  std::string path_;
};

class Replay {
 public:
  Replay(Store& store, std::span<std::uint64_t> hashes, std::vector<std::string>& problems)
      : store_(store), hashes_(hashes), problems_(problems) {}

  Result<void> begin(const ReadObject& snapshot) {
    shrink(0);
    at_ = snapshot.footer.last;
    page_count_ = snapshot.footer.page_count();
    page_size_ = snapshot.footer.page_size;
    CAIRN_TRY(each_hash(snapshot, [this](std::uint64_t entry, std::uint64_t hash) { set(entry, hash); }));
    check(snapshot.footer.points.back(), snapshot.object.name.key);
    return {};
  }

  Result<void> apply(const ReadObject& object) {
    const segment::Footer& footer = object.footer;
    CAIRN_ASSIGN(const auto reader, segment::ObjectReader::open(store_, object.object.name.key));
    CAIRN_ASSIGN(const segment::PageIndex index, reader->index());
    if (footer.page_size != page_size_) shrink(0);  // a restatement: every page follows
    page_size_ = footer.page_size;
    std::uint64_t frame = 0;
    for (const segment::RestorePoint& point : footer.points) {
      const std::uint64_t end = std::min<std::uint64_t>(point.frame_end, index.pages.size());
      if (point.sequence > at_) {
        shrink(point.page_count);
        for (; frame < end; ++frame) set(index.pages[frame].value - 1, index.hashes[frame]);
        at_ = point.sequence;
        check(point, object.object.name.key);
      }
      frame = end;
    }
    return {};
  }

  // A later snapshot of a state that the replay is at.
  Result<void> compare(const ReadObject& snapshot) {
    std::uint64_t differing = 0, first = 0;
    CAIRN_TRY(each_hash(snapshot, [&](std::uint64_t entry, std::uint64_t hash) {
      if (entry < hashes_.size() && hashes_[entry] == hash) return;
      if (differing++ == 0) first = entry + 1;
    }));
    if (differing > 0 || snapshot.footer.page_count() != page_count_) {
      problems_.push_back(fmt::format("{} is not the state that the segments lead to: {} pages differ, page {} first",
                                      snapshot.object.name.key, differing, first));
    }
    return {};
  }

  Sequence at() const { return at_; }

 private:
  template <class Each>
  Result<void> each_hash(const ReadObject& snapshot, Each each) {
    CAIRN_ASSIGN(const auto reader, segment::ObjectReader::open(store_, snapshot.object.name.key));
    const std::uint64_t count = snapshot.footer.page_count();
    for (std::uint64_t first = 0; first < count; first += kHashesReplayed) {
      CAIRN_ASSIGN(const segment::PageIndex index, reader->index(first, std::min(kHashesReplayed, count - first)));
      for (std::size_t i = 0; i < index.hashes.size(); ++i) each(first + i, index.hashes[i]);
    }
    return {};
  }

  void set(std::uint64_t entry, std::uint64_t hash) {
    if (entry >= hashes_.size()) return;
    sum_ ^= hashes_[entry] ^ hash;
    hashes_[entry] = hash;
  }

  // Pages past the new end are gone; should they come back, it is with bytes of their own.
  void shrink(std::uint32_t page_count) {
    for (std::uint64_t entry = page_count; entry < page_count_; ++entry) set(entry, 0);
    page_count_ = page_count;
  }

  void check(const segment::RestorePoint& point, const std::string& key) {
    if (sum_ == point.hash_after) return;
    // One problem is enough: from here on every sum is off by the same.
    if (!reported_) {
      problems_.push_back(fmt::format("{}: the pages at sequence {} do not add up to the database hash: a page is "
                                      "missing or is not that of this state", key, point.sequence.value));
    }
    reported_ = true;
  }

  Store& store_;
  std::span<std::uint64_t> hashes_;
  std::vector<std::string>& problems_;
  Sequence at_;
  std::uint32_t page_count_ = 0, page_size_ = 0;
  std::uint64_t sum_ = 0;
  bool reported_ = false;
};

// Snapshots by sequence, and segments so that the finest next one comes first.
struct Sorted {
  std::vector<const ReadObject*> snapshots, segments;
};
Sorted sort(const std::vector<ReadObject>& objects) {
  Sorted sorted;
  for (const ReadObject& object : objects) {
    (object.footer.kind == segment::ObjectKind::snapshot ? sorted.snapshots : sorted.segments).push_back(&object);
  }
  std::sort(sorted.snapshots.begin(), sorted.snapshots.end(), [](const ReadObject* a, const ReadObject* b) {
    return a->footer.last < b->footer.last;
  });
  std::sort(sorted.segments.begin(), sorted.segments.end(), [](const ReadObject* a, const ReadObject* b) {
    return std::tie(a->footer.last, b->footer.first) < std::tie(b->footer.last, a->footer.first);
  });
  return sorted;
}

// The lowest first sequence of segments[i] and all behind it; behind the last, the highest number.
std::vector<std::uint64_t> lowest_first_from(const std::vector<const ReadObject*>& segments) {
  std::vector<std::uint64_t> lowest(segments.size() + 1, std::numeric_limits<std::uint64_t>::max());
  for (std::size_t i = segments.size(); i-- > 0;) lowest[i] = std::min(lowest[i + 1], segments[i]->footer.first.value);
  return lowest;
}

std::uint64_t largest_page_count(const std::vector<ReadObject>& objects) {
  std::uint64_t largest = 0;
  for (const ReadObject& object : objects) {
    for (const auto& point : object.footer.points) largest = std::max<std::uint64_t>(largest, point.page_count);
  }
  return largest;
}

}  // namespace

Result<void> replay_hashes(Store& store, const std::vector<ReadObject>& objects, FileSystem& files,
                           const std::string& scratch, std::vector<std::string>& problems,
                           std::vector<std::string>& notes) {
  const Sorted sorted = sort(objects);
  if (sorted.snapshots.empty()) return {};
  CAIRN_ASSIGN(const auto table, Table::make(files, scratch, largest_page_count(objects)));
  if (!table) {
    notes.push_back("page hashes were not played through: the database is too large to do it in memory");
    return {};
  }
  Replay replay(store, table->hashes(), problems);
  CAIRN_TRY(replay.begin(*sorted.snapshots.front()));
  auto snapshot = sorted.snapshots.begin() + 1;
  auto compare_snapshots = [&]() -> Result<void> {
    for (; snapshot != sorted.snapshots.end() && (*snapshot)->footer.last <= replay.at(); ++snapshot) {
      if ((*snapshot)->footer.last == replay.at()) CAIRN_TRY(replay.compare(**snapshot));
    }
    return {};
  };
  CAIRN_TRY(compare_snapshots());
  const std::vector<std::uint64_t> first_from = lowest_first_from(sorted.segments);
  for (std::size_t i = 0; i <= sorted.segments.size(); ++i) {
    // Nothing further on continues this state, what did was pruned: the next snapshot begins anew.
    while (first_from[i] > replay.at().value + 1 && snapshot != sorted.snapshots.end()) {
      const Sequence next = (*snapshot)->footer.last;
      if (i < sorted.segments.size() && next >= sorted.segments[i]->footer.last) break;
      CAIRN_TRY(replay.begin(**snapshot++));
      CAIRN_TRY(compare_snapshots());
    }
    if (i == sorted.segments.size()) break;
    const ReadObject* segment = sorted.segments[i];
    if (segment->footer.last <= replay.at()) continue;
    // What lies in front of it was merged into one object that ends behind it: no state leads to it any more.
    if (segment->footer.first > replay.at().next()) continue;
    CAIRN_TRY(replay.apply(*segment));
    CAIRN_TRY(compare_snapshots());
  }
  return {};
}

}  // namespace cairn::restore
