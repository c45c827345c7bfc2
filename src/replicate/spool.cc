#include "replicate/spool.h"

#include <algorithm>

#include "fmt/format.h"
#include "replicate/kept.h"
#include "segment/keys.h"
#include "segment/reader.h"

namespace cairn::replicate {
namespace {

constexpr std::string_view kSuffix = ".wal.zst";
constexpr std::string_view kFront = "front";
constexpr std::uint64_t kSoonCompared_bytes = 64ull << 20;  // of a database

std::uint64_t commits_in(const segment::Footer& footer) {
  std::uint64_t commits = 0;
  for (const segment::RestorePoint& point : footer.points) commits += point.commit_count;
  return commits;
}

SpooledSegment described(const segment::Footer& footer, std::string path, const WrittenFile& written) {
  return {.sequence = footer.last,
          .path = std::move(path),
          .size_bytes = written.size_bytes,
          .file_hash = written.hash,
          .bytes = written.bytes,
          .time_ms = footer.last_time_ms,
          .hash_before = footer.hash_before,
          .hash_after = footer.hash_after(),
          .page_size = footer.page_size,
          .page_count = footer.page_count(),
          .commit_count = commits_in(footer),
          .oldest_ms = footer.last_time_ms};
}

// What a segment in the spool says of itself, if all of it is as it was written.
Result<SpooledSegment> check_segment(const Source& source, const std::string& path, const Id128& lineage) {
  CAIRN_ASSIGN(auto reader, segment::ObjectReader::open(source, path));
  CAIRN_ASSIGN(const segment::Footer footer, segment::verify_object(*reader));
  if (footer.lineage != lineage || footer.first != footer.last) {
    return Error(ErrorKind::corrupt, fmt::format("{} belongs to another replica", path));
  }
  CAIRN_ASSIGN(const std::uint64_t hash, hash_of_file(source));
  return described(footer, path, {source.size_bytes(), hash, nullptr});
}

Result<SpooledSegment> check_file(FileSystem& files, const std::string& path, const Id128& lineage) {
  CAIRN_ASSIGN(auto file, files.open(path, OpenMode::read));
  CAIRN_ASSIGN(const std::uint64_t size, file->size());
  return check_segment(FileSource(*file, size), path, lineage);
}

bool is_of(const SpooledSegment& segment, const segment::Footer& published) {
  return published.kind == segment::ObjectKind::segment && published.last == segment.sequence &&
         published.hash_before == segment.hash_before && published.hash_after() == segment.hash_after &&
         published.last_time_ms == segment.time_ms;
}

bool follows(const SpooledSegment& before, const SpooledSegment& next) {
  return before.sequence.next() == next.sequence && before.hash_after == next.hash_before;
}

template <class Value>
Result<Value> or_say_why(Result<Value> opened) {
  if (opened || opened.error().kind() != ErrorKind::not_found) return opened;
  return opened.error().as(ErrorKind::io).with(
      "the state directory was removed or renamed while cairn is at work with it: end cairn and start it again");
}

}  // namespace

Result<std::unique_ptr<Spool>> Spool::open(FileSystem& files, const std::string& directory, const Id128& lineage,
                                           Sequence published, Kept& kept, SharedSpool* shared) {
  CAIRN_TRY(files.make_directories(directory));
  std::unique_ptr<Spool> spool(new Spool(files, directory, kept, shared));
  CAIRN_TRY(spool->load(lineage, published));
  return spool;
}

Spool::~Spool() {
  MutexLock lock(mutex_);
  shrink(size_bytes_);
}

void Spool::grow(std::uint64_t size_bytes) {
  size_bytes_ += size_bytes;
  if (shared_ != nullptr) shared_->grow(size_bytes);
}

void Spool::shrink(std::uint64_t size_bytes) {
  size_bytes_ -= size_bytes;
  if (shared_ != nullptr) shared_->shrink(size_bytes);
}

Result<Spool::LeftOver> Spool::left_over(FileSystem& files, const std::string& directory, Sequence published) {
  auto names = files.list(directory);
  if (!names && names.error().kind() == ErrorKind::not_found) return LeftOver{};
  if (!names) return names.error();
  LeftOver left;
  for (const std::string& name : *names) {
    if (!name.ends_with(kSuffix) || name <= segment::segment_name(published)) continue;
    CAIRN_ASSIGN(auto file, files.open(join_path(directory, name), OpenMode::read));
    CAIRN_ASSIGN(const std::uint64_t size, file->size());
    left.size_bytes += size;
    ++left.segments;
  }
  if (left.segments > 0) return left;  // the front has its file, or is what was published
  CAIRN_ASSIGN(const auto front, FrontFile::read(files, front_path(directory)));
  return front && front->sequence > published ? LeftOver{1, front->bytes.size()} : left;
}

Result<void> Spool::load(const Id128& lineage, Sequence published) {
  CAIRN_ASSIGN(const auto names, files_.list(directory_));
  MutexLock lock(mutex_);
  bool removed = false;
  for (const std::string& name : names) {  // sorted: ascending by sequence
    if (name == kFront) continue;
    const std::string path = join_path(directory_, name);
    auto segment = name.ends_with(kSuffix)
                       ? check_file(files_, path, lineage)
                       : Result<SpooledSegment>(Error(ErrorKind::corrupt, "not a segment"));
    if (!segment && segment.error().kind() != ErrorKind::corrupt) return segment.error();
    const bool goes_on = segment && path == path_of(segment->sequence) &&
                         (segments_.empty() || follows(segments_.back(), *segment));
    if (goes_on) {
      grow(segment->size_bytes);
      commits_ += segment->commit_count;
      segments_.push_back(std::move(*segment));
    } else {
      CAIRN_TRY(files_.remove(path));
      removed = true;
    }
  }
  CAIRN_TRY(load_front(lineage, published));
  return removed ? files_.sync_directory(directory_) : Result<void>();  // their numbers are used again, as in clear()
}

// It becomes a file as the others, if they follow it; or it follows them: a file that is published stays for a moment,
// and longer after a power loss. Any other is older, as one is that is published.
Result<void> Spool::load_front(const Id128& lineage, Sequence published) {
  CAIRN_ASSIGN(const auto held, FrontFile::read(files_, front_path(directory_)));
  if (!held || held->sequence <= published) return front_file_.remove();
  const std::string path = path_of(held->sequence);
  auto segment = check_segment(BytesSource(held->bytes), path, lineage);
  const bool is_whole = segment && segment->sequence == held->sequence;
  const bool is_first = is_whole && (segments_.empty() || follows(*segment, segments_.front()));
  if (is_first || (is_whole && follows(segments_.back(), *segment))) {
    CAIRN_TRY(write_file(files_, path, held->bytes));
    grow(segment->size_bytes);
    commits_ += segment->commit_count;
    segments_.insert(is_first ? segments_.begin() : segments_.end(), std::move(*segment));
  }
  return front_file_.remove();
}

std::string Spool::path_of(Sequence sequence) const { return join_path(directory_, segment::segment_name(sequence)); }

std::string Spool::front_path(const std::string& directory) { return join_path(directory, kFront); }

std::string Spool::partial_path() const { return join_path(directory_, "partial"); }

Result<std::unique_ptr<File>> Spool::begin() {
  CAIRN_ASSIGN(auto file, or_say_why(files_.open(partial_path(), OpenMode::write)));
  CAIRN_TRY(file->truncate(0));
  return file;
}

void Spool::give_up() { (void)files_.remove(partial_path()); }

ScratchSpace Spool::scratch(std::size_t most_in_memory) {
  const std::string path = join_path(directory_, "scratch");
  return {.open = [this, path] { return or_say_why(open_unnamed(files_, path)); },
          .most_in_memory = most_in_memory,
          .path = path};
}

Result<void> Spool::add(const segment::Footer& footer, const WrittenFile& written) {
  SpooledSegment segment = described(footer, path_of(footer.last), written);
  const bool is_first = count() == 0;
  const SmallFront where = small_front_;
  const std::uint64_t database_bytes = std::uint64_t{segment.page_size} * segment.page_count;
  if (!is_first) CAIRN_TRY(put_front_aside());  // no file may lack the one before it
  if (!segment.bytes) {
    CAIRN_TRY(files_.rename(partial_path(), segment.path));
  } else if (is_first && where != SmallFront::own_file && database_bytes <= kSoonCompared_bytes) {
    segment.in_front_file = where == SmallFront::front_file;
    if (segment.in_front_file) CAIRN_TRY(or_say_why(front_file_.write(segment.sequence, *segment.bytes)));
    segment.has_file = false;
  } else {
    CAIRN_TRY(or_say_why(write_file(files_, segment.path, *segment.bytes)));
    if (!is_first) segment.bytes.reset();  // it will wait
  }
  MutexLock lock(mutex_);
  if (waiting_.since_ms > 0) segment.oldest_ms = waiting_.since_ms;
  grow(segment.size_bytes);
  commits_ += segment.commit_count;
  segments_.push_back(std::move(segment));
  return {};
}

// Under its own name: of what a killed process has written half of, all is checked.
Result<void> Spool::write_front() {
  MutexLock lock(mutex_);
  if (segments_.empty() || segments_.front().has_file) return {};
  SpooledSegment& front = segments_.front();
  CAIRN_TRY(or_say_why(write_file(files_, front.path, *front.bytes)));
  front.has_file = true;
  return {};
}

Result<void> Spool::put_front_aside() {
  CAIRN_TRY(write_front());
  MutexLock lock(mutex_);
  if (!segments_.empty() && segments_.front().has_file) segments_.front().bytes.reset();
  return {};
}

void Spool::note_waiting(std::int64_t since_ms, std::uint64_t commits) {
  MutexLock lock(mutex_);
  waiting_ = {since_ms, commits};
}

Spool::Unpublished Spool::unpublished() const {
  MutexLock lock(mutex_);
  Unpublished all = waiting_;
  all.commits += commits_;
  if (!segments_.empty()) all.since_ms = segments_.front().oldest_ms;
  return all;
}

std::optional<SpooledSegment> Spool::front() const {
  MutexLock lock(mutex_);
  return segments_.empty() ? std::nullopt : std::optional(segments_.front());
}

std::optional<SpooledSegment> Spool::back() const {
  MutexLock lock(mutex_);
  return segments_.empty() ? std::nullopt : std::optional(segments_.back());
}

std::deque<SpooledSegment> Spool::all() const {
  MutexLock lock(mutex_);
  return segments_;
}

void Spool::pop(std::string etag) {
  std::optional<SpooledSegment> published;
  {
    MutexLock lock(mutex_);
    if (segments_.empty()) return;
    published = take_front();
  }
  // One that stays is known for published at the next start, and let go of then.
  kept_.take(*published, std::move(etag));
}

SpooledSegment Spool::take_front() {
  front_file_.let_go();
  SpooledSegment front = std::move(segments_.front());
  segments_.pop_front();
  shrink(front.size_bytes);
  commits_ -= front.commit_count;
  return front;
}

void Spool::pop_published(Sequence published, const segment::Footer* newest) {
  while (const auto front = this->front()) {
    if (front->sequence > published) return;
    if (front->sequence == published && newest != nullptr && is_of(*front, *newest)) return pop({});
    MutexLock lock(mutex_);
    (void)files_.remove(take_front().path);
  }
}

Result<void> Spool::clear() {
  MutexLock lock(mutex_);
  for (const SpooledSegment& segment : segments_) CAIRN_TRY(files_.remove(segment.path));
  CAIRN_TRY(front_file_.remove());
  segments_.clear();
  shrink(size_bytes_);
  commits_ = 0;
  // Otherwise a power loss brings them back, under numbers that others have been published with meanwhile.
  return files_.sync_directory(directory_);
}

void Spool::leave() {
  MutexLock lock(mutex_);
  front_file_.leave();
}

std::size_t Spool::count() const {
  MutexLock lock(mutex_);
  return segments_.size();
}

std::uint64_t Spool::size_bytes() const {
  MutexLock lock(mutex_);
  return size_bytes_;
}

bool Spool::is_durable() const {
  MutexLock lock(mutex_);
  return segments_.empty() || (segments_.back().sequence <= durable_ && segments_.back().has_file);
}

Result<void> Spool::make_durable() {
  CAIRN_TRY(write_front());
  std::deque<SpooledSegment> due;
  {
    MutexLock lock(mutex_);
    const Sequence durable = durable_;  // the analysis does not see through a lambda that the lock is held
    std::ranges::copy_if(segments_, std::back_inserter(due), [&](const auto& s) { return s.sequence > durable; });
  }
  if (due.empty()) return {};
  for (const SpooledSegment& segment : due) {
    auto file = files_.open(segment.path, OpenMode::read);
    if (!file && file.error().kind() == ErrorKind::not_found) continue;  // published meanwhile
    if (!file) return file.error();
    CAIRN_TRY((*file)->sync());
  }
  CAIRN_TRY(files_.sync_directory(directory_));
  MutexLock lock(mutex_);
  durable_ = std::max(durable_, due.back().sequence);
  return {};
}

}  // namespace cairn::replicate
