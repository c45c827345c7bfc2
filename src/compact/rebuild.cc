#include "compact/rebuild.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/executor.h"
#include "cairn/restore.h"
#include "compact/scratch_file.h"
#include "segment/merge.h"
#include "segment/reader.h"
#include "segment/writer.h"
#include "store/around.h"

namespace cairn::compact {
namespace {

using restore::ReadObject;
using segment::Footer;
using segment::ObjectKind;

constexpr int kDrainMs = 100;

// A replica without the objects that are not to be relied on.
class HidingStore final : public StoreAround<HidingStore> {
 public:
  HidingStore(Store& store, const std::set<std::string>& hidden) : inner_(store), hidden_(hidden) {}
  Store& inner() const { return inner_; }
  template <class Call>
  auto around(const StoreCall&, const Call& call) -> decltype(call()) {
    return call();
  }
  Result<ListPage> list(std::string_view prefix, std::string_view start_after, int limit) override {
    std::string after(start_after);
    while (true) {
      CAIRN_ASSIGN(ListPage page, inner_.list(prefix, after, limit));
      if (!page.objects.empty()) after = page.objects.back().key;
      std::erase_if(page.objects, [&](const ObjectInfo& object) { return hidden_.contains(object.key); });
      // A page of which nothing is left is not the end.
      if (!page.objects.empty() || !page.more) return page;
    }
  }

 private:
  Store& inner_;
  const std::set<std::string>& hidden_;
};

Error not_held(std::string_view what) { return Error(ErrorKind::not_found, std::string(what)); }

// The place of the run that leads to `sequence` and from the state right before it.
std::optional<std::size_t> single_run(const Footer& footer, Sequence sequence) {
  for (std::size_t i = 0; i < footer.points.size(); ++i) {
    if (footer.points[i].sequence != sequence) continue;
    const Sequence before = i == 0 ? Sequence(footer.first.value - 1) : footer.points[i - 1].sequence;
    if (before.next() == sequence) return i;
  }
  return std::nullopt;
}

// What the segment of one run was. A bundle has forgotten when its first commit was seen, and by whom.
segment::ObjectHead head_of_run(const Footer& bundle, std::size_t run, const std::optional<Footer>& known) {
  segment::ObjectHead head = head_of(known ? *known : bundle);
  head.kind = ObjectKind::segment;
  head.first = head.last = bundle.points[run].sequence;
  if (!known) head.first_time_ms = run == 0 ? bundle.first_time_ms : bundle.points[run].time_ms;
  if (!known) head.last_time_ms = bundle.points[run].time_ms;
  head.hash_before = run == 0 ? bundle.hash_before : bundle.points[run - 1].hash_after;
  return head;
}

Result<void> copy_run(segment::ObjectReader& bundle, std::size_t run, segment::SegmentWriter& writer) {
  const Footer& footer = bundle.footer();
  const segment::PageIndex& index = bundle.segment_index();
  const std::uint64_t begin = run == 0 ? 0 : footer.points[run - 1].frame_end, end = footer.points[run].frame_end;
  std::optional<std::uint32_t> held;
  std::vector<Bytes> block;
  for (std::uint64_t frame = begin; frame < end; ++frame) {
    const segment::PageLocation at = bundle.locate(frame);
    if (held != at.block) {
      CAIRN_ASSIGN(block, bundle.read_blocks(at.block, 1));
      held = at.block;
    }
    const ByteView page = ByteView(block.front()).subspan(at.offset, footer.page_size);
    const std::uint64_t hash = segment::page_hash(index.pages[frame], page);
    if (hash != index.hashes[frame]) return segment::damaged_object(bundle.name(), "a page is not what its hash says");
    CAIRN_TRY(writer.add_page(index.pages[frame], page, hash));
  }
  return writer.end_run(footer.points[run]);
}

// Whole objects that lead one after the other from the state before `first` to `last`, with as many restore points as
// there can be. Empty: there are none.
std::vector<const ReadObject*> tiles(const std::vector<ReadObject>& objects, Sequence first, Sequence last) {
  struct Tiling {
    std::uint64_t points = 0;
    const ReadObject* by = nullptr;
  };
  std::vector<const ReadObject*> inside;
  for (const ReadObject& object : objects) {
    const Footer& footer = object.footer;
    if (footer.kind != ObjectKind::snapshot && footer.first >= first && footer.last <= last) inside.push_back(&object);
  }
  std::sort(inside.begin(), inside.end(), [](const ReadObject* a, const ReadObject* b) {
    return std::tie(a->footer.last, a->object.name.key) < std::tie(b->footer.last, b->object.name.key);
  });
  std::map<std::uint64_t, Tiling> ways;  // to states
  ways[first.value - 1] = {};
  for (const ReadObject* object : inside) {
    const auto from = ways.find(object->footer.first.value - 1);
    if (from == ways.end()) continue;
    const std::uint64_t points = from->second.points + object->footer.points.size();
    Tiling& way = ways[object->footer.last.value];
    if (way.by == nullptr || points > way.points) way = {points, object};
  }
  std::vector<const ReadObject*> found;
  for (auto way = ways.find(last.value); way != ways.end() && way->second.by != nullptr;
       way = ways.find(found.back()->footer.first.value - 1)) {
    found.push_back(way->second.by);
  }
  std::reverse(found.begin(), found.end());
  return found;
}

// Who made it, and how many commits went into it, is known only while its own index is whole.
segment::ObjectHead head_of_snapshot(const RestorePointInfo& state, const std::optional<Footer>& known,
                                     const Reliable& reliable) {
  if (known) return head_of(*known);
  segment::ObjectHead head;
  for (const ReadObject& object : reliable.objects) {
    if (object.object.name.key == state.object) head = head_of(object.footer);
  }
  head.kind = ObjectKind::snapshot;
  head.page_size = state.page_size;
  head.first = head.last = Sequence(state.sequence);
  head.first_time_ms = head.last_time_ms = state.time_ms;
  head.hash_before = 0;
  return head;
}

segment::RestorePoint point_of(const RestorePointInfo& state, const std::optional<Footer>& known) {
  if (known) return known->points.back();
  segment::RestorePoint point;
  point.sequence = Sequence(state.sequence);
  point.time_ms = state.time_ms;
  point.commit_count = 1;
  point.page_count = state.page_count;
  point.hash_after = state.database_hash;
  return point;
}

}  // namespace

Result<std::string> Rebuilder::rebuild(const Damaged& damaged, const Reliable& reliable, File& file) {
  const segment::ObjectName& name = damaged.object.name;
  if (name.kind == segment::KeyKind::snapshot) return snapshot_from_others(damaged, reliable, file);
  if (name.level == 0) return segment_from_bundle(damaged, reliable, file);
  return merge_again(damaged, reliable, file);
}

Result<std::string> Rebuilder::segment_from_bundle(const Damaged& damaged, const Reliable& reliable, File& file) {
  const Sequence sequence = damaged.object.name.last;
  for (const ReadObject& object : reliable.objects) {
    if (object.footer.kind == ObjectKind::snapshot || object.footer.kind == ObjectKind::squashed) continue;
    const std::optional<std::size_t> run = single_run(object.footer, sequence);
    if (!run) continue;
    CAIRN_ASSIGN(const auto bundle, segment::ObjectReader::open(store_, object.object.name.key));
    FileSink sink(file);
    CAIRN_ASSIGN(const auto writer, segment::SegmentWriter::open(head_of_run(object.footer, *run, damaged.footer), sink,
                                                                 executor_));
    CAIRN_TRY(copy_run(*bundle, *run, *writer));
    CAIRN_TRY(writer->finish());
    return fmt::format("from {}", object.object.name.key);
  }
  return not_held("no other object holds this state by itself");
}

Result<std::string> Rebuilder::merge_again(const Damaged& damaged, const Reliable& reliable, File& file) {
  const segment::ObjectName& name = damaged.object.name;
  const std::vector<const ReadObject*> sources = tiles(reliable.objects, name.first, name.last);
  if (sources.empty()) return not_held("what it was merged from is not there any more");
  std::vector<std::unique_ptr<segment::ObjectReader>> readers;
  std::vector<segment::ObjectReader*> inputs;
  for (const ReadObject* source : sources) {
    CAIRN_ASSIGN(auto reader, segment::ObjectReader::open(store_, source->object.name.key, segment::KeepEnd::yes));
    inputs.push_back(reader.get());
    readers.push_back(std::move(reader));
  }
  segment::MergeOptions options;
  options.open_scratch = [this] { return open_scratch_file(files_, scratch_); };
  options.stop = stop_;
  FileSink sink(file);
  // Of what it was nothing may be known: a bundle holds the more.
  CAIRN_TRY(segment::merge(std::move(inputs), damaged.footer ? damaged.footer->kind : ObjectKind::bundle, sink,
                           executor_, options));
  return fmt::format("by merging {} and {} more", sources.front()->object.name.key, sources.size() - 1);
}

Result<std::string> Rebuilder::snapshot_from_others(const Damaged& damaged, const Reliable& reliable, File& file) {
  HidingStore others(store_, reliable.hidden);
  const std::string path = join_path(scratch_, "cairn-repair.db");
  CAIRN_TRY(files_.make_directories(scratch_));
  RestoreOptions options;
  options.target.sequence = damaged.object.name.last.value;
  options.overwrite = Overwrite::replace;
  options.stop = stop_;
  const auto restored = run_restore(others, replica_, path, options, files_, executor_);
  if (!restored) {
    const ErrorKind kind = restored.error().kind();
    if (kind != ErrorKind::corrupt && kind != ErrorKind::not_found) return restored.error();
    return not_held("no older snapshot leads to this state: " + restored.error().message());
  }
  auto database = files_.open(path, OpenMode::read);
  (void)files_.remove(path);  // it is open; scratch: best effort
  if (!database) return database.error();
  const RestorePointInfo& state = restored->plan.point;
  const segment::RestorePoint point = point_of(state, damaged.footer);
  CAIRN_TRY(write_snapshot(head_of_snapshot(state, damaged.footer, reliable), point, **database, file));
  return fmt::format("from {} and {} more", restored->plan.objects.front().key, restored->plan.objects.size() - 1);
}

// Page by page what was restored; that it adds up to the state's hash was seen, and is seen again by whoever reads it.
Result<void> Rebuilder::write_snapshot(const segment::ObjectHead& head, const segment::RestorePoint& point,
                                       const File& database, File& file) {
  const std::string path = join_path(scratch_, "cairn-repair.hashes");
  CAIRN_TRY(files_.remove(path));
  CAIRN_ASSIGN(const auto mapped, files_.map(path, std::uint64_t{point.page_count} * sizeof(std::uint64_t)));
  (void)files_.remove(path);  // it is mapped; scratch: best effort
  auto* const hashes = reinterpret_cast<std::uint64_t*>(mapped->bytes().data());
  FileSink sink(file);
  CAIRN_ASSIGN(const auto writer, segment::SnapshotWriter::open(head, executor_));
  const std::uint32_t in_block = segment::pages_per_block(head.page_size);
  const PageNo lock_page = segment::lock_byte_page(head.page_size);
  for (std::uint32_t page = 0; page < point.page_count;) {
    if (stop_.stop_requested()) return Error(ErrorKind::cancelled, "stopped on request");
    if (!writer->room()) {
      CAIRN_TRY(writer->drain(sink, kDrainMs));
      continue;
    }
    const std::uint32_t count = std::min(in_block, point.page_count - page);
    Bytes block(std::size_t{count} * head.page_size);
    CAIRN_ASSIGN(const std::size_t got, database.read_at(std::uint64_t{page} * head.page_size, block));
    if (got < block.size()) return Error(ErrorKind::io, "what was restored is shorter than its state");
    for (std::uint32_t i = 0; i < count; ++i, ++page) {
      const PageNo number(page + 1);
      const ByteView bytes = ByteView(block).subspan(std::size_t{i} * head.page_size, head.page_size);
      hashes[page] = number == lock_page ? 0 : segment::page_hash(number, bytes);
    }
    writer->add(std::move(block));
  }
  writer->end(point, {hashes, point.page_count});
  while (true) {
    CAIRN_ASSIGN(const bool complete, writer->drain(sink, kDrainMs));
    if (complete) return {};
  }
}

}  // namespace cairn::compact
