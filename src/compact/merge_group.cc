#include "compact/merge_group.h"

#include <fmt/format.h>

#include "base/parallel.h"
#include "compact/scratch_file.h"
#include "restore/head.h"
#include "segment/merge.h"

namespace cairn::compact {
namespace {

constexpr int kLevelsTried = 16;

class NoSink final : public segment::Sink {
 public:
  Result<void> write(ByteView) override { return {}; }
};

// Of what was read: it is not as it must be. All else is the store's or the disk's.
bool is_of_the_inputs(ErrorKind kind) {
  return kind == ErrorKind::corrupt || kind == ErrorKind::conflict || kind == ErrorKind::invalid ||
         kind == ErrorKind::unsupported;
}

}  // namespace

Result<MergeOutcome> MergeDesk::run(const MergeJob& job) {
  MergeOutcome outcome;
  CAIRN_ASSIGN(const Readers readers, open_inputs(job, outcome));
  if (!outcome.gone.empty() || !outcome.damaged.empty()) return outcome;
  CAIRN_ASSIGN(const std::unique_ptr<File> file, open_scratch_file(files_, scratch_));
  const Result<segment::Footer> footer = merge(job, readers, *file);
  if (!footer) {
    CAIRN_TRY(find_fault(job, readers, footer.error(), outcome));
    return outcome;
  }
  CAIRN_TRY(publish(job, *footer, *file, outcome));
  return outcome;
}

Result<MergeDesk::Readers> MergeDesk::open_inputs(const MergeJob& job, MergeOutcome& outcome) {
  Readers readers(job.inputs.size());
  std::vector<std::optional<Error>> errors(job.inputs.size());
  CAIRN_TRY(parallel_for(executor_, job.inputs.size(), [&](std::uint64_t i) -> Result<void> {
    const restore::StoredObject& input = job.inputs[i];
    const auto keep = input.size_bytes <= segment::kFirstReadBytes ? segment::KeepEnd::yes : segment::KeepEnd::no;
    auto reader = segment::ObjectReader::open(store_, input.name.key, keep);
    if (reader) readers[i] = std::move(*reader);
    else if (reader.error().kind() == ErrorKind::not_found || is_of_the_inputs(reader.error().kind()))
      errors[i] = reader.error();
    else return reader.error();
    return {};
  }, stop_));
  for (std::size_t i = 0; i < errors.size(); ++i) {
    if (!errors[i]) continue;
    const std::string& key = job.inputs[i].name.key;
    if (errors[i]->kind() == ErrorKind::not_found) outcome.gone.push_back(key);
    else outcome.damaged.emplace_back(key, errors[i]->message());
  }
  return readers;
}

Result<segment::Footer> MergeDesk::merge(const MergeJob& job, const Readers& readers, File& file) {
  std::vector<segment::ObjectReader*> inputs;
  for (const auto& reader : readers) inputs.push_back(reader.get());
  segment::MergeOptions options;
  options.open_scratch = [this] { return open_scratch_file(files_, scratch_); };
  options.stop = stop_;
  const auto merge_into_file = [&] {
    FileSink sink(file);
    return segment::merge(inputs, job.kind, sink, executor_, options);
  };
  auto merged = merge_into_file();
  if (!merged && merged.error().kind() == ErrorKind::io) {  // the disk may have had no room for both
    options.open_scratch = {};
    CAIRN_TRY(file.truncate(0));
    merged = merge_into_file();
  }
  if (!merged) return merged;
  CAIRN_TRY(file.sync());  // a disk that loses what it is given says so now, and not to who removes the inputs
  return merged;
}

Result<void> MergeDesk::publish(const MergeJob& job, const segment::Footer& footer, const File& file,
                                MergeOutcome& outcome) {
  CAIRN_ASSIGN(const std::uint64_t size_bytes, file.size());
  const FileSource object(file, size_bytes);
  for (int level = job.level; level < job.level + kLevelsTried; ++level) {
    auto published = segment::publish_merged(store_, replica_, level, footer, object);
    if (published && published->footer.points.size() >= footer.points.size()) {
      outcome.merged = std::move(*published);
      return {};
    }
    if (published) continue;  // it keeps fewer restore points
    const ErrorKind kind = published.error().kind();
    if (kind != ErrorKind::conflict && kind != ErrorKind::corrupt) return published.error();
    outcome.notes.push_back(published.error().message());
    if (kind == ErrorKind::conflict) return {};
  }
  outcome.notes.push_back(fmt::format("{} levels are taken by other objects of the sequences {} to {}", kLevelsTried,
                                      footer.first.value, footer.last.value));
  return {};
}

Result<void> MergeDesk::find_fault(const MergeJob& job, const Readers& readers, const Error& error,
                                   MergeOutcome& outcome) {
  if (error.kind() != ErrorKind::not_found && !is_of_the_inputs(error.kind())) return error;
  for (std::size_t i = 0; i < readers.size(); ++i) {
    if (stop_.stop_requested()) return Error(ErrorKind::cancelled, "stopped on request");
    const std::string& key = job.inputs[i].name.key;
    const auto verified = readers[i]->verify();
    if (verified) continue;
    const ErrorKind kind = verified.error().kind();
    if (kind == ErrorKind::not_found) outcome.gone.push_back(key);
    else if (is_of_the_inputs(kind)) outcome.damaged.emplace_back(key, verified.error().message());
    else return verified.error();
  }
  if (!outcome.gone.empty() || !outcome.damaged.empty()) return {};
  if (error.kind() == ErrorKind::not_found) return error.as(ErrorKind::retry_later);
  return find_liar(job, readers, outcome);
}

// Each is whole, and together they are no history. Of the inputs up to some one the indexes tell whether they are, and
// whatever comes behind a liar is none either: so it is found by halving. Where the state before them cannot be had,
// the liar may be any of those in front of where it shows.
Result<void> MergeDesk::find_liar(const MergeJob& job, const Readers& readers, MergeOutcome& outcome) {
  CAIRN_ASSIGN(const std::vector<std::uint64_t> before, hashes_before(job, readers));
  segment::MergeOptions options;
  options.hashes_before = before;
  const auto check = [&](std::size_t count) -> Result<void> {
    std::vector<segment::ObjectReader*> inputs;
    for (std::size_t i = 0; i < count; ++i) inputs.push_back(readers[i].get());
    NoSink nowhere;
    CAIRN_TRY(segment::Merge::open(std::move(inputs), job.kind, nowhere, executor_, options));
    return {};
  };
  std::size_t good = 0, bad = readers.size();  // so many from the first on
  Result<void> says = check(bad);
  if (says) return Error(ErrorKind::retry_later, fmt::format("{} was garbled on its way: try again later",
                                                             job.inputs.front().name.key));
  while (bad - good > 1) {
    const std::size_t middle = good + (bad - good) / 2;
    if (Result<void> answer = check(middle)) {
      good = middle;
    } else {
      bad = middle;
      says = std::move(answer);
    }
  }
  for (std::size_t i = before.empty() ? 0 : good; i < bad; ++i) {
    outcome.damaged.emplace_back(job.inputs[i].name.key, says.error().message());
  }
  return {};
}

// Of the state that the first input builds on. Empty: it cannot be had, or it has another page size.
Result<std::vector<std::uint64_t>> MergeDesk::hashes_before(const MergeJob& job, const Readers& readers) {
  std::vector<std::uint64_t> hashes;
  std::uint32_t page_size = 0;
  const auto point = restore::read_page_hashes(
      store_, replica_, Sequence(job.inputs.front().name.first.value - 1),
      [&](std::uint32_t size, std::uint32_t count) -> Result<std::span<std::uint64_t>> {
        page_size = size;
        hashes.resize(count);
        return std::span(hashes);
      });
  const segment::Footer& first = readers.front()->footer();
  if (point && page_size == first.page_size && point->hash_after == first.hash_before) return hashes;
  if (point || is_of_the_inputs(point.error().kind()) || point.error().kind() == ErrorKind::not_found) {
    return std::vector<std::uint64_t>();
  }
  return point.error();
}

}  // namespace cairn::compact
