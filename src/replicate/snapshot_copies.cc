#include "replicate/snapshot_copies.h"

#include <algorithm>
#include <utility>

#include "fmt/format.h"
#include "segment/keys.h"
#include "segment/reader.h"

namespace cairn::replicate {
namespace {

constexpr int kMostFailures = 3;  // that look as if they would pass
constexpr std::uint64_t kComparedPages = 1 << 18;  // at a time: 2 MiB of hashes

bool is_of_the_store(const Error& error) {
  return error.kind() != ErrorKind::not_found && error.kind() != ErrorKind::corrupt &&
         error.kind() != ErrorKind::unsupported;
}

// The newest one that is listed and not newer than the job's. Another would do as well: it is compared page by page.
Result<std::optional<std::string>> last_snapshot(Store& store, const std::string& replica, const SnapshotJob& job) {
  const std::string prefix = segment::snapshot_prefix(replica);
  std::optional<segment::ObjectName> newest;
  std::string after;
  for (bool more = true; more;) {
    CAIRN_ASSIGN(const ListPage page, store.list(prefix, after));
    for (const ObjectInfo& object : page.objects) {
      after = object.key;
      const auto name = segment::parse_key(replica, object.key);
      if (!name || name->kind != segment::KeyKind::snapshot) continue;
      if (name->key == job.key || name->last > job.sequence) continue;
      if (!newest || newest->last < name->last || (newest->last == name->last && newest->time_ms < name->time_ms))
        newest = name;
    }
    more = page.more && !page.objects.empty();
  }
  return newest ? std::optional(newest->key) : std::nullopt;
}

Result<ComparedBlocks> compare(segment::ObjectReader& source, const SnapshotJob& job) {
  const std::uint32_t pages_a_block = segment::pages_per_block(job.page_size);
  ComparedBlocks out;
  out.page_size = job.page_size;
  out.count = (std::uint64_t{job.page_count} + pages_a_block - 1) / pages_a_block;
  CAIRN_ASSIGN(out.source, source.stored_blocks());
  const std::uint64_t common = std::min<std::uint64_t>(job.page_count, source.footer().page_count());
  const auto* const hashes = reinterpret_cast<const std::uint64_t*>(job.hashes->bytes().data());
  const std::uint64_t step = kComparedPages / pages_a_block * pages_a_block;
  for (std::uint64_t first = 0; first < common; first += step) {
    CAIRN_ASSIGN(const segment::PageIndex there, source.index(first, std::min(step, common - first)));
    for (std::uint64_t at = 0; at < there.hashes.size(); at += pages_a_block) {
      const std::uint64_t begin = first + at, end = begin + pages_a_block;
      const std::uint64_t end_here = std::min<std::uint64_t>(end, job.page_count);
      const std::uint64_t end_there = std::min<std::uint64_t>(end, source.footer().page_count());
      out.same.push_back(end_here == end_there && std::equal(hashes + begin, hashes + end_here,
                                                             there.hashes.begin() + static_cast<std::ptrdiff_t>(at)));
    }
  }
  return out;
}

}  // namespace

Result<std::unique_ptr<CopyPlan>> plan_copies(Store& store, const std::string& replica, const SnapshotJob& job,
                                              const CopyLimits& limits) {
  auto plan = std::make_unique<CopyPlan>();
  CAIRN_ASSIGN(const auto key, last_snapshot(store, replica, job));
  if (!key) return std::unique_ptr<CopyPlan>();
  // An object can be replaced by a repair: what is learned here holds for one with this etag.
  const auto info = store.head(*key);
  if (!info && is_of_the_store(info.error())) return info.error();
  if (!info) return std::unique_ptr<CopyPlan>();
  plan->source_key = *key;
  plan->source_etag = info->etag;
  auto source = segment::ObjectReader::open(store, *key);
  if (!source && is_of_the_store(source.error())) return source.error();
  if (!source) return std::unique_ptr<CopyPlan>();
  const segment::Footer& footer = (*source)->footer();
  if (footer.lineage != job.lineage || footer.page_size != job.page_size ||
      (*source)->entries_per_block() != segment::pages_per_block(job.page_size)) {
    return std::unique_ptr<CopyPlan>();
  }
  const auto compared = compare(**source, job);
  if (!compared && is_of_the_store(compared.error())) return compared.error();
  if (compared) plan->runs = runs_to_copy(*compared, limits);
  return plan->runs.empty() ? nullptr : std::move(plan);
}

CopiedRun* SnapshotCopies::next_run() { return next_ < plan_.runs.size() ? &plan_.runs[next_] : nullptr; }

void SnapshotCopies::begin_run(int first_part) {
  const CopiedRun& run = plan_.runs[next_];
  const auto count = static_cast<std::uint64_t>(run.part_count);
  for (std::uint64_t n = 0; n < count; ++n) {
    const std::uint64_t begin = run.length_bytes * n / count, end = run.length_bytes * (n + 1) / count;
    const int number = first_part + static_cast<int>(n);
    JournaledPart wanted;
    wanted.info.number = number;
    wanted.info.size_bytes = end - begin;
    wanted.source_key = plan_.source_key;
    wanted.source_etag = plan_.source_etag;
    wanted.source_offset = run.source_offset + begin;
    const auto there = there_.find(number);
    const bool is_there = there != there_.end() && there->second.source_key == wanted.source_key &&
                          there->second.source_etag == wanted.source_etag &&
                          there->second.source_offset == wanted.source_offset &&
                          there->second.info.size_bytes == wanted.info.size_bytes;
    if (is_there) wanted.info.etag = there->second.info.etag;
    Part part;
    part.part = std::move(wanted);
    part.is_handed_in = part.has_arrived = is_there;
    parts_.emplace(number, std::move(part));
  }
}

void SnapshotCopies::hand_in(PartUploads& uploads) {
  if (!trouble_.empty()) return;
  for (auto& [number, part] : parts_) {
    if (part.is_handed_in) continue;
    if (!uploads.room()) return;
    part.is_handed_in = true;
    uploads.copy(number, part.part.source_key, part.part.source_offset, part.part.info.size_bytes);
  }
}

Result<void> SnapshotCopies::take(int number, const Result<PartInfo>& info, PartUploads& uploads) {
  Part& part = parts_.at(number);
  if (info) {
    part.part.info.etag = info->etag;
    part.has_arrived = true;
    return {};
  }
  const Error& error = info.error();
  part.is_doubtful = part.is_doubtful || error.kind() == ErrorKind::maybe_done;
  const bool may_pass = error.kind() == ErrorKind::retry_later || error.kind() == ErrorKind::maybe_done;
  if (may_pass && trouble_.empty() && ++failures_ <= kMostFailures) return error;
  if (error.kind() == ErrorKind::not_found) {  // the source, or the upload?
    CAIRN_ASSIGN(const bool is_same, is_source_the_same());
    if (is_same) return error;
  }
  uploads.give_up(number);
  part.has_failed = true;
  if (trouble_.empty()) trouble_ = error.message();
  return {};
}

Result<bool> SnapshotCopies::is_source_the_same() {
  const auto info = store_.head(plan_.source_key);
  if (!info && info.error().kind() == ErrorKind::not_found) return false;
  if (!info) return info.error();
  return info->etag == plan_.source_etag;
}

Result<std::optional<std::vector<JournaledPart>>> SnapshotCopies::end_run() {
  const bool all_arrived = std::ranges::all_of(parts_, [](const auto& at) { return at.second.has_arrived; });
  const bool is_under_way = std::ranges::any_of(parts_, [](const auto& at) {
    return at.second.is_handed_in && !at.second.has_arrived && !at.second.has_failed;
  });
  std::vector<JournaledPart> copied;
  if (has_begun() && all_arrived) {
    CAIRN_ASSIGN(const bool is_same, is_source_the_same());
    if (!is_same && trouble_.empty()) trouble_ = plan_.source_key + " was removed or replaced while it was copied";
    for (const auto& [number, part] : parts_) {
      if (is_same) copied.push_back(part.part);
    }
  } else if (trouble_.empty() || is_under_way) {
    return std::optional<std::vector<JournaledPart>>();
  }
  if (copied.empty()) {
    for (const auto& [number, part] : parts_) {
      if (part.has_arrived) stray_.insert(number);
      may_arrive_late_ = may_arrive_late_ || (part.is_doubtful && !part.has_arrived);
    }
  }
  return std::optional(std::move(copied));
}

void SnapshotCopies::leave_run(CopiedRun::State state) {
  parts_.clear();
  if (state == CopiedRun::State::copied) copied_bytes_ += plan_.runs[next_].length_bytes;
  plan_.runs[next_++].state = state;
}

}  // namespace cairn::replicate
