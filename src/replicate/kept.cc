#include "replicate/kept.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "base/bytes.h"
#include "base/open_file_source.h"
#include "fmt/format.h"
#include "replicate/checked_line.h"
#include "segment/keys.h"
#include "segment/reader.h"

namespace cairn::replicate {
namespace {

constexpr int kMostLevels = 9;
constexpr std::string_view kKeptSuffix = ".kept";  // not as in the store: it must not look like a replica

// The sequences that a file's name says.
std::optional<std::pair<Sequence, Sequence>> parse_name(std::string_view name) {
  if (!name.ends_with(kKeptSuffix)) return std::nullopt;
  name.remove_suffix(kKeptSuffix.size());
  const auto parsed = segment::parse_key("", fmt::format("levels/1/{}.wal.zst", name));
  return parsed ? std::optional(std::pair(parsed->first, parsed->last)) : std::nullopt;
}

bool is_same(const KeptObject& a, const KeptObject& b) {
  return std::tuple(a.level, a.first, a.last) == std::tuple(b.level, b.first, b.last);
}

// Names in a folder that may not be there.
Result<std::vector<std::string>> names_in(FileSystem& files, const std::string& directory) {
  auto names = files.list(directory);
  if (!names && names.error().kind() == ErrorKind::not_found) return std::vector<std::string>();
  return names;
}

// Nothing: it is not whole, or of another history.
std::optional<KeptObject> read_kept(FileSystem& files, const std::string& path, int level, const Id128& lineage) {
  const auto name = parse_name(std::string_view(path).substr(path.rfind('/') + 1));
  if (!name) return std::nullopt;
  auto file = files.open(path, OpenMode::read);
  if (!file) return std::nullopt;
  const auto size = (*file)->size();
  if (!size) return std::nullopt;
  const FileSource source(**file, *size);
  const auto reader = segment::ObjectReader::open(source, path);
  if (!reader) return std::nullopt;
  const segment::Footer& footer = (*reader)->footer();
  if (footer.lineage != lineage || std::pair(footer.first, footer.last) != *name) return std::nullopt;
  return describe_kept(footer, level, *size);
}

class BytesInMemory final : public Source {
 public:
  explicit BytesInMemory(std::shared_ptr<const Bytes> bytes) : bytes_(std::move(bytes)), source_(*bytes_) {}
  std::uint64_t size_bytes() const override { return source_.size_bytes(); }
  Result<void> read_at(std::uint64_t offset, std::span<std::byte> into) const override {
    return source_.read_at(offset, into);
  }

 private:
  const std::shared_ptr<const Bytes> bytes_;
  const BytesSource source_;
};

}  // namespace

KeptObject describe_kept(const segment::Footer& footer, int level, std::uint64_t size_bytes) {
  return {.level = level,
          .first = footer.first,
          .last = footer.last,
          .size_bytes = size_bytes,
          .time_ms = footer.last_time_ms,
          .hash_before = footer.hash_before,
          .hash_after = footer.hash_after(),
          .page_size = footer.page_size};
}

Kept::Kept(FileSystem& files, const ReplicatorOptions& options)
    : files_(files),
      options_(options),
      directory_(join_path(options.state_directory, "kept")),
      log_(files, log_path()) {}

std::string Kept::path_of(const KeptObject& object) const {
  return join_path(folder_of(object.level),
                   fmt::format("{:020}-{:020}{}", object.first.value, object.last.value, kKeptSuffix));
}

std::string Kept::name_of(const KeptObject& object) const {
  return object.bytes ? segment::segment_name(object.last) : path_of(object);
}

Result<void> Kept::open() {
  CAIRN_TRY(files_.make_directories(directory_));
  if (options_.level_windows_ms.empty()) CAIRN_TRY(empty_levels());
  for (int level = 0; has_levels() && level <= static_cast<int>(options_.level_windows_ms.size()); ++level) {
    CAIRN_TRY(files_.make_directories(folder_of(level)));
  }
  give_files_to_logged();
  const auto fence = read_file(files_, fence_path());
  if (!fence) return {};
  std::string_view lines = as_text(*fence);
  const auto text = take_checked_line(lines);
  MutexLock hold(mutex_);
  if (text) fence_ = Sequence(std::strtoull(std::string(*text).c_str(), nullptr, 10));
  return {};
}

// One that gets none is not merged.
void Kept::give_files_to_logged() {
  const auto logged = KeptLog::read(files_, log_path());
  for (std::size_t i = 0; has_levels() && logged && i < logged->size(); ++i) {
    const HeldSegment& held = (*logged)[i];
    (void)write_file(files_, path_of({.first = held.sequence, .last = held.sequence}), held.bytes);
  }
  (void)files_.remove(log_path());
}

// All that may be there, whichever levels there are now. None of it comes back with a power loss.
Result<void> Kept::empty_levels() {
  for (int level = 0; level <= kMostLevels; ++level) {
    const std::string folder = folder_of(level);
    auto names = files_.list(folder);
    if (!names && names.error().kind() == ErrorKind::not_found) continue;
    if (!names) return names.error();
    for (const std::string& name : *names) CAIRN_TRY(files_.remove(join_path(folder, name)));
    CAIRN_TRY(files_.sync_directory(folder));
  }
  return {};
}

void Kept::take(const SpooledSegment& segment, std::string etag) {
  KeptObject object{.level = 0,
                    .first = segment.sequence,
                    .last = segment.sequence,
                    .size_bytes = segment.size_bytes,
                    .time_ms = segment.time_ms,
                    .hash_before = segment.hash_before,
                    .hash_after = segment.hash_after,
                    .page_size = segment.page_size,
                    .etag = std::move(etag)};
  MutexLock hold(mutex_);
  bool is_kept = has_levels() && size_bytes_ + object.size_bytes <= options_.kept_limit_bytes;
  if (is_kept && !segment.has_file && in_memory_.take(object.size_bytes)) {
    object.bytes = segment.bytes;
    if (segment.in_front_file) object.stretch = log_.append(segment.sequence, *segment.bytes);
  } else if (is_kept) {
    is_kept = segment.has_file ? files_.rename(segment.path, path_of(object)).has_value()
                               : write_file(files_, path_of(object), *segment.bytes).has_value();
  }
  if (!is_kept) {
    if (segment.has_file) (void)files_.remove(segment.path);
    return;
  }
  size_bytes_ += object.size_bytes;
  taken_.push_back(std::move(object));
}

Result<void> Kept::begin_anew(Sequence fence, History history) {
  CAIRN_TRY(empty_levels());
  if (history == History::another) CAIRN_TRY(files_.remove(removals_path()));
  {
    MutexLock hold(mutex_);
    CAIRN_TRY(log_.remove());
  }
  CAIRN_TRY(write_file_durably(files_, fence_path(), as_bytes(checked_line(std::to_string(fence.value)))));
  MutexLock hold(mutex_);
  fence_ = fence;
  taken_.clear();
  size_bytes_ = 0;
  in_memory_.give_all_back();
  return {};
}

Result<std::vector<KeptObject>> Kept::load(const Id128& lineage, Sequence published) {
  CAIRN_TRY(files_.remove(partial_path()));
  CAIRN_TRY(files_.remove(merging_path()));
  std::vector<KeptObject> found;
  for (int level = 0; level <= kMostLevels; ++level) {
    CAIRN_ASSIGN(const auto names, names_in(files_, folder_of(level)));
    for (const std::string& name : names) {
      const std::string path = join_path(folder_of(level), name);
      auto object = read_kept(files_, path, level, lineage);
      const bool is_known = level <= static_cast<int>(options_.level_windows_ms.size());
      if (object && is_known && object->last <= published) {
        found.push_back(std::move(*object));
      } else if (!object || object->last <= published) {
        (void)files_.remove(path);
      }
    }
  }
  // What a merged object holds is not merged again: a process died between making it and letting go of its sources.
  std::ranges::sort(found, [](const KeptObject& a, const KeptObject& b) {
    return std::tuple(a.first, b.last, b.level) < std::tuple(b.first, a.last, a.level);
  });
  std::vector<KeptObject> kept;
  for (KeptObject& object : found) {
    if (!kept.empty() && object.last <= kept.back().last) {
      (void)files_.remove(path_of(object));
      continue;
    }
    kept.push_back(std::move(object));
  }
  give_up_merged(kept);
  MutexLock hold(mutex_);
  // What this process has published is not what was found under its name: taken() has it.
  for (const KeptObject& object : taken_) {
    std::erase_if(kept, [&](const KeptObject& other) { return is_same(other, object); });
    if (object.bytes) (void)files_.remove(path_of(object));
  }
  size_bytes_ = 0;
  for (const KeptObject& object : kept) size_bytes_ += object.size_bytes;
  for (const KeptObject& object : taken_) size_bytes_ += object.size_bytes;
  return kept;
}

// Of what was taken from the spool of an earlier process, which may have merged it.
void Kept::give_up_merged(const std::vector<KeptObject>& kept) {
  const auto is_merged = [&](const KeptObject& one) {
    return std::ranges::any_of(kept, [&](const KeptObject& other) {
      return other.level > 0 && other.first <= one.first && one.last <= other.last;
    });
  };
  std::vector<KeptObject> left = taken();
  for (const KeptObject& one : left) {
    if (is_merged(one)) let_go(one);
  }
  std::erase_if(left, is_merged);
  MutexLock hold(mutex_);
  taken_.insert(taken_.begin(), left.begin(), left.end());
}

std::vector<KeptObject> Kept::taken() {
  MutexLock hold(mutex_);
  return std::exchange(taken_, {});
}

Sequence Kept::fence() const {
  MutexLock hold(mutex_);
  return fence_;
}

Result<std::unique_ptr<Source>> Kept::open(const KeptObject& object) const {
  return object.bytes ? std::make_unique<BytesInMemory>(object.bytes) : open_file(object, path_of(object));
}

Result<std::unique_ptr<Source>> Kept::open_merged(const KeptObject& object) const {
  return object.bytes ? std::make_unique<BytesInMemory>(object.bytes) : open_file(object, partial_path());
}

Result<std::unique_ptr<Source>> Kept::open_file(const KeptObject& object, const std::string& path) const {
  CAIRN_ASSIGN(auto file, files_.open(path, OpenMode::read));
  return std::make_unique<OpenFileSource>(std::move(file), object.size_bytes);
}

Result<void> Kept::add_merged(KeptObject& object) {
  if (object.bytes) CAIRN_TRY(write_file(files_, path_of(object), *object.bytes));
  else CAIRN_TRY(files_.rename(partial_path(), path_of(object)));
  object.bytes.reset();
  MutexLock hold(mutex_);
  size_bytes_ += object.size_bytes;
  return {};
}

Result<void> Kept::write_down(KeptObject& object) {
  if (!object.bytes) return {};
  CAIRN_TRY(write_file(files_, path_of(object), *object.bytes));
  object.bytes.reset();
  MutexLock hold(mutex_);
  in_memory_.give_back(object.size_bytes);
  if (const auto stretch = std::exchange(object.stretch, std::nullopt)) log_.let_go(*stretch);
  return {};
}

void Kept::let_go(const KeptObject& object) {
  if (!object.bytes) (void)files_.remove(path_of(object));
  MutexLock hold(mutex_);
  size_bytes_ -= std::min(size_bytes_, object.size_bytes);
  if (object.bytes) in_memory_.give_back(object.size_bytes);
  if (object.stretch) log_.let_go(*object.stretch);
}

void Kept::leave() {
  MutexLock hold(mutex_);
  log_.leave();
}

std::uint64_t Kept::size_bytes() const {
  MutexLock hold(mutex_);
  return size_bytes_;
}

}  // namespace cairn::replicate
