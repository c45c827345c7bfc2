// Reads all that a container's manifest names. Damage becomes sentences in the report; only what keeps it from looking
// (a store that is away, no such container) is an error.
//
// SHA-256 goes over a tar in order and is what takes longest, so one run of frames is hashed while the next ones are
// fetched and decompressed. Memory stays at two batches of runs.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/executor.h"
#include "base/parallel.h"
#include "cairn/layer.h"
#include "cairn/machine.h"
#include "layer/history.h"
#include "layer/manifest.h"
#include "layer/object.h"
#include "layer/tar_check.h"

namespace cairn {
namespace layer {
namespace {

constexpr std::uint64_t kRunBytes = 4u << 20;  // before compression: one request each
constexpr int kMostRuns = 8;                   // of a batch

using Progress = std::function<void(std::uint64_t done, std::uint64_t total)>;

// What is wrong with what was read, as against why it could not be read.
bool is_damage(const Error& error) {
  return error.kind() == ErrorKind::corrupt || error.kind() == ErrorKind::not_found;
}

struct Run {
  std::uint64_t first_frame = 0, frames = 0;
};

std::vector<Run> runs_of(const std::vector<FrameInfo>& frames) {
  std::vector<Run> runs;
  std::uint64_t bytes = kRunBytes;
  for (std::uint64_t i = 0; i < frames.size(); ++i) {
    if (bytes + frames[i].size_bytes > kRunBytes) {
      runs.push_back({i, 0});
      bytes = 0;
    }
    ++runs.back().frames;
    bytes += frames[i].size_bytes;
  }
  return runs;
}

class ContainerCheck {
 public:
  ContainerCheck(Store& store, Executor& executor, Progress progress)
      : store_(store), executor_(executor), progress_(std::move(progress)) {}

  Result<LayerVerifyReport> run(std::string_view name);

 private:
  void check_history(const Manifest& manifest);
  Result<void> check_sync(const SyncRecord& sync);
  Result<void> check_meta(const LayerMeta& layer);
  Result<void> check_layer(const SyncRecord& sync);
  Result<void> read_tar(LayerReader& reader, TarCheck& tar);
  void problem(const SyncRecord& sync, const std::string& what);

  Store& store_;
  Executor& executor_;
  const Progress progress_;
  std::uint64_t done_bytes_ = 0, total_bytes_ = 0;
  LayerVerifyReport report_;
};

Result<LayerVerifyReport> ContainerCheck::run(std::string_view name) {
  const Result<StoredHistory> stored = read_history(store_, name);
  if (!stored && stored.error().kind() == ErrorKind::corrupt) {
    report_.problems.push_back(stored.error().message());
    return report_;
  }
  if (!stored) return stored.error();
  const Manifest& manifest = stored->whole;
  if (manifest.name != name) {
    report_.problems.push_back(fmt::format("the manifest of '{}' says that it is that of '{}'", name, manifest.name));
  }
  check_history(manifest);
  std::set<std::string_view> seen;  // several syncs may have brought the same layer about
  for (const SyncRecord& sync : manifest.syncs) total_bytes_ += sync.layer.size_bytes;
  for (const SyncRecord& sync : manifest.syncs) {
    if (seen.insert(sync.layer.digest).second) CAIRN_TRY(check_sync(sync));
  }
  return report_;
}

void ContainerCheck::check_history(const Manifest& manifest) {
  for (std::size_t i = 0; i < manifest.syncs.size(); ++i) {
    const SyncRecord& sync = manifest.syncs[i];
    if (i == 0 && sync.kind != SyncKind::full) problem(sync, "its history begins with it, and it is no full layer");
    if (i > 0 && sync.sequence != manifest.syncs[i - 1].sequence + 1) {
      problem(sync, fmt::format("it follows sync {}", manifest.syncs[i - 1].sequence));
    }
    if (sync.torn_files > 0) {
      report_.notes.push_back(fmt::format("sync {}: files that kept changing while they were read, and so may be of "
                                          "several moments: {}", sync.sequence, sync.torn_files));
    }
  }
}

Result<void> ContainerCheck::check_sync(const SyncRecord& sync) {
  for (const Result<void>& checked : {check_meta(sync.layer), check_layer(sync)}) {
    if (checked) continue;
    if (!is_damage(checked.error())) return checked.error();
    problem(sync, checked.error().message());
  }
  return {};
}

Result<void> ContainerCheck::check_meta(const LayerMeta& layer) {
  const std::string key = meta_key(layer.digest);
  CAIRN_ASSIGN(const Object object, store_.get(key));
  CAIRN_ASSIGN(const LayerMeta meta, parse_meta(object.bytes));
  // A layer that two containers share has one meta, made for the first of them, even if it lies there twice: where a
  // store neither copies nor names late, each has kept its own name.
  LayerMeta expected = layer;
  expected.created_at_ms = meta.created_at_ms;
  if (meta.object != layer.object) {
    expected.object = meta.object;
    expected.compressed_size_bytes = meta.compressed_size_bytes;
  }
  if (meta != expected) return Error(ErrorKind::corrupt, key + " says something else of the layer than the manifest");
  return {};
}

Result<void> ContainerCheck::check_layer(const SyncRecord& sync) {
  const LayerMeta& layer = sync.layer;
  CAIRN_ASSIGN(const std::unique_ptr<LayerReader> reader, LayerReader::open(store_, layer.object));
  const auto wrong = [&](const char* what) { return Error(ErrorKind::corrupt, layer.object + what); };
  if (reader->object_size_bytes() != layer.compressed_size_bytes) return wrong(" has not the size of the manifest");
  if (reader->tar_size_bytes() != layer.size_bytes) return wrong(" has a tar of another size than the manifest says");
  if (reader->entry_count() != layer.file_count) return wrong(" has not as many entries as the manifest says");
  if (reader->digest() != layer.digest) return wrong(" is another layer than its name says");
  TarCheck tar(reader->entries());
  CAIRN_TRY(read_tar(*reader, tar));
  const Result<std::string> digest = tar.finish();
  if (!digest) return digest.error().with(layer.object);
  if (*digest != layer.digest) return wrong(": the SHA-256 of its tar is not its digest");
  if (tar.torn_files() != sync.torn_files) return wrong(" flags not as many torn files as the manifest says");
  ++report_.layers;
  report_.entries += tar.entries();
  report_.size_bytes += layer.size_bytes;
  return {};
}

Result<void> ContainerCheck::read_tar(LayerReader& reader, TarCheck& tar) {
  const std::vector<Run> runs = runs_of(reader.frames());
  const std::size_t width = static_cast<std::size_t>(std::clamp(executor_.width(), 1, kMostRuns));
  std::vector<Bytes> hashed, fetched;
  for (std::size_t next = 0; next < runs.size() || !fetched.empty();) {
    hashed = std::move(fetched);
    const std::size_t count = std::min(width, runs.size() - next);
    fetched.assign(count, {});
    // The first piece of work is what was fetched the time before.
    CAIRN_TRY(parallel_for(executor_, count + 1, [&](std::uint64_t i) -> Result<void> {
      if (i == 0) {
        for (const Bytes& bytes : hashed) {
          const Result<void> fed = tar.feed(bytes);
          if (!fed) return fed.error().with(reader.key());
          done_bytes_ += bytes.size();
          if (progress_) progress_(done_bytes_, total_bytes_);
        }
        return {};
      }
      const Run& run = runs[next + i - 1];
      return reader.visit_frames(run.first_frame, run.frames, [&](std::uint64_t, ByteView bytes) -> Result<void> {
        fetched[i - 1].insert(fetched[i - 1].end(), bytes.begin(), bytes.end());
        return {};
      });
    }));
    next += count;
  }
  return {};
}

void ContainerCheck::problem(const SyncRecord& sync, const std::string& what) {
  report_.problems.push_back(fmt::format("sync {}: {}", sync.sequence, what));
}

}  // namespace
}  // namespace layer

Result<LayerVerifyReport> verify_layers(Store& store, std::string_view name, Machine& machine,
                                        std::function<void(std::uint64_t done, std::uint64_t total)> progress) {
  return layer::ContainerCheck(store, machine.executor(), std::move(progress)).run(name);
}

}  // namespace cairn
