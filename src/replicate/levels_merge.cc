// Making one object of a group, and putting it into the store.
#include <algorithm>
#include <utility>

#include "fmt/format.h"
#include "replicate/claim.h"
#include "replicate/file_sink.h"
#include "replicate/levels.h"
#include "replicate/still_there.h"
#include "segment/keys.h"
#include "segment/merge.h"
#include "segment/reader.h"

namespace cairn::replicate {
namespace {

constexpr std::uint64_t kMergeMemoryBytes = 16ull << 20;
constexpr std::int64_t kClaimCounts_us = 60'000'000;

// One that stops being read when upkeep is to end, however slow the store that it goes to.
class EndingSource final : public Source {
 public:
  EndingSource(const Source& source, const std::atomic<bool>& ends) : source_(source), ends_(ends) {}
  std::uint64_t size_bytes() const override { return source_.size_bytes(); }
  Result<void> read_at(std::uint64_t offset, std::span<std::byte> into) const override {
    if (ends_) return Error(ErrorKind::cancelled, "upkeep is to end");
    return source_.read_at(offset, into);
  }

 private:
  const Source& source_;
  const std::atomic<bool>& ends_;
};

}  // namespace

void Levels::merge(std::size_t level, std::size_t count, const Time& now) {
  WrittenFile written;
  auto footer = write_merged(level, count, written);
  if (!footer && footer.error().kind() == ErrorKind::cancelled) return;
  if (!footer && (footer.error().kind() == ErrorKind::io || footer.error().kind() == ErrorKind::denied)) {
    not_before_us_ = now.mono_us + kTryAgain_us;
    merge_trouble_ = {footer.error().message(), footer.error().kind()};
    count_error(footer.error().kind());
    return;
  }
  // A file that a power loss has garbled: what it holds is in the store, and stays as it is there.
  if (!footer || written.size_bytes > shared_.options.merged_limit_bytes) return let_go(level, count);
  const int number = static_cast<int>(level) + 1;
  KeptObject object = describe_kept(*footer, number, written.size_bytes);
  object.bytes = written.bytes;
  merged_ = Merged{level, count, written.hash, std::move(object), std::move(*footer)};
}

Result<segment::Footer> Levels::write_merged(std::size_t level, std::size_t count, WrittenFile& written) {
  std::vector<std::unique_ptr<Source>> sources;
  std::vector<std::unique_ptr<segment::ObjectReader>> readers;
  std::vector<segment::ObjectReader*> inputs;
  for (std::size_t i = 0; i < count; ++i) {
    const KeptObject& object = waiting_[level][i];
    CAIRN_ASSIGN(sources.emplace_back(), shared_.kept.open(object));
    const std::string name = shared_.kept.name_of(object);
    CAIRN_ASSIGN(readers.emplace_back(), segment::ObjectReader::open(*sources.back(), name));
    inputs.push_back(readers.back().get());
  }
  FileSink sink;
  sink.begin_unless_small([this]() -> Result<std::unique_ptr<File>> {
    CAIRN_ASSIGN(auto partial, shared_.files.open(shared_.kept.partial_path(), OpenMode::write));
    CAIRN_TRY(partial->truncate(0));
    return partial;
  });
  const auto kind = is_bundle(level) ? segment::ObjectKind::bundle : segment::ObjectKind::squashed;
  // On this thread alone: it may run at a low priority, and takes no core from capture.
  segment::MergeOptions options;
  options.memory_bytes = kMergeMemoryBytes;
  // Where the disk had no room for it and for what is merged, it is made without.
  const auto open_scratch = [this] { return open_unnamed(shared_.files, shared_.kept.merging_path()); };
  if (merge_trouble_.words.empty()) options.open_scratch = open_scratch;
  CAIRN_ASSIGN(const auto merge,
               segment::Merge::open(std::move(inputs), kind, sink, shared_.one_at_a_time, options));
  while (true) {
    if (shared_.upkeep_ends) return Error(ErrorKind::cancelled, "upkeep is to end");
    CAIRN_ASSIGN(const bool done, merge->step());
    if (done) break;
  }
  CAIRN_ASSIGN(written, sink.finish());
  return merge->footer();
}

void Levels::put_merged(const Time& now) {
  const std::string key = segment::merged_key(shared_.options.replica, merged_->object.level, merged_->object.first,
                                              merged_->object.last);
  Result<std::optional<ObjectInfo>> there = [&]() -> Result<std::optional<ObjectInfo>> {
    CAIRN_TRY(expect_our_replica(now));
    CAIRN_ASSIGN(const bool goes_on, still_has(waiting_[merged_->level][merged_->sources - 1]));
    if (!goes_on) return std::optional<ObjectInfo>();
    bool is_new = false;
    CAIRN_ASSIGN(auto object, put(key, is_new));
    if (!object) return object;
    CAIRN_ASSIGN(const bool is_there, lies_beside(shared_, {key, is_new ? object->etag : std::string()}));
    if (!is_there) return Error(ErrorKind::retry_later, "the store lost it on its way");
    return object;
  }();
  if (there) {
    patience_.reset();
    merge_trouble_ = {};
    return finish_merged(*there);
  }
  const Error& error = there.error();
  if (error.kind() == ErrorKind::cancelled) return;
  count_error(error.kind());
  const bool is_away = error.kind() == ErrorKind::retry_later || error.kind() == ErrorKind::maybe_done;
  not_before_us_ = now.mono_us + patience_.wait_us(error, shared_.random).value_or(kTryRightsAgain_us);
  // A store that is away is told of by whoever publishes.
  if (!is_away) merge_trouble_ = {error.with("put " + key).message(), error.kind()};
}

// A merged object is never urgent. Nothing is put beside what is not ours, or where something was taken away. Where
// looking costs a request, what was seen of the claim counts for a minute: a segment, which comes more often, is put
// without a look at it.
Result<void> Levels::expect_our_replica(const Time& now) {
  if (shared_.store.capabilities().looking_is_free) return expect_still_there(shared_);
  const Id128 ours = shared_.local->record().lineage;
  if (seen_claim_ == ours && now.mono_us - seen_claim_us_ < kClaimCounts_us) return {};
  CAIRN_ASSIGN(const auto claim, read_claim(shared_.store, shared_.options.replica));
  seen_claim_ = claim ? std::optional(claim->lineage) : std::nullopt;
  seen_claim_us_ = now.mono_us;
  if (seen_claim_ == ours) return {};
  return Error(ErrorKind::retry_later, segment::metadata_key(shared_.options.replica) + " is gone, or another's");
}

// Whether it is in the store as it is here. If the newest source is, the states before it are the ones that were
// published from here. False: somebody has merged it and removed it; or the store was rolled back, and whoever adopted
// what was left goes on there, while this replicator, with nothing to publish, has not heard of it.
Result<bool> Levels::still_has(const KeptObject& source) {
  const std::string& replica = shared_.options.replica;
  const std::string key = source.level == 0 ? segment::segment_key(replica, source.last)
                                            : segment::merged_key(replica, source.level, source.first, source.last);
  const auto there = shared_.store.head(key);
  if (!there && there.error().kind() == ErrorKind::not_found) return false;
  if (!there) return there.error();
  if (!source.etag.empty() && there->etag == source.etag) return true;
  // Put by an earlier process, or brought back from a copy: then what it says counts.
  const auto reader = segment::ObjectReader::open(shared_.store, key);
  if (!reader && reader.error().kind() == ErrorKind::not_found) return false;
  if (!reader && reader.error().kind() == ErrorKind::corrupt) return true;  // damaged: what is here is whole
  if (!reader) return reader.error();
  const segment::Footer& footer = (*reader)->footer();
  return footer.lineage == merged_->footer.lineage && footer.writer == merged_->footer.writer &&
         footer.hash_after() == source.hash_after;
}

// The object as it lies there. Nothing: somebody else's lies under its key, with other contents; or ours is no more.
Result<std::optional<ObjectInfo>> Levels::put(const std::string& key, bool& is_new) {
  CAIRN_ASSIGN(const auto made, shared_.kept.open_merged(merged_->object));
  const EndingSource body(*made, shared_.upkeep_ends);
  CAIRN_ASSIGN(const std::uint64_t hash, hash_of_file(body));
  if (hash != merged_->file_hash) return std::optional<ObjectInfo>();  // the disk has lost it: its sources stay there
  auto put = shared_.store.put_new(key, body);
  is_new = put.has_value();
  if (put) return std::optional(ObjectInfo{key, body.size_bytes(), std::move(*put), 0});
  if (put.error().kind() != ErrorKind::conflict && put.error().kind() != ErrorKind::maybe_done) return put.error();
  auto reader = segment::ObjectReader::open(shared_.store, key);
  if (!reader && reader.error().kind() == ErrorKind::corrupt) return std::optional<ObjectInfo>();
  if (!reader && reader.error().kind() == ErrorKind::not_found) return put.error().as(ErrorKind::retry_later);
  if (!reader) return reader.error();
  // Of another zstd it may have other bytes: what counts is that it says the same of every state.
  if ((*reader)->footer() != merged_->footer) return std::optional<ObjectInfo>();
  CAIRN_ASSIGN(ObjectInfo there, shared_.store.head(key));
  return std::optional(std::move(there));
}

void Levels::finish_merged(const std::optional<ObjectInfo>& there) {
  Merged merged = *std::exchange(merged_, std::nullopt);
  if (!there) return let_go(merged.level, merged.sources);
  if (is_bundle(merged.level)) {
    removals_.add({merged.object.level, merged.object.first, merged.object.last, there->size_bytes, there->etag,
                   sources_of(merged)});
    (void)removals_.save();
  }
  const bool is_kept = shared_.kept.add_merged(merged.object).has_value();
  let_go(merged.level, merged.sources);
  if (is_kept && merged.level + 1 < level_count()) {
    KeptObject object = merged.object;
    object.since_us = now_us_;
    object.etag = there->etag;
    wait_for(merged.level + 1, std::move(object));
  } else if (is_kept) {
    shared_.kept.let_go(merged.object);
  }
  shared_.set_status([&](ReplicatorStatus& s) {
    ++s.merged_objects;
    s.merged_bytes += merged.object.size_bytes;
  });
}

std::vector<ReplacedRange> Levels::sources_of(const Merged& merged) const {
  const Sequence fence = shared_.kept.fence();
  std::vector<ReplacedRange> ranges;
  for (std::size_t i = 0; i < merged.sources; ++i) {
    const KeptObject& source = waiting_[merged.level][i];
    if (source.level == 0 && source.first == fence) continue;
    const bool goes_on = source.level == 0 && !ranges.empty() && ranges.back().level == 0 &&
                         ranges.back().last.next() == source.first;
    if (goes_on) ranges.back().last = source.last;
    else ranges.push_back({source.level, source.first, source.last});
  }
  return ranges;
}

}  // namespace cairn::replicate
