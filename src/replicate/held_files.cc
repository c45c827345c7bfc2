// A segment lies in such a file behind 32 bytes: magic, sequence, length in bytes, and XXH3 (64 bits) of all with zeros
// in its place; little-endian, 8 bytes each. What lies behind the last one is left of others.
#include "replicate/held_files.h"

#include <xxhash.h>

#include <algorithm>

#include "base/bytes.h"

namespace cairn::replicate {
namespace {

constexpr std::uint64_t kHeldMagic = 0x31646c48'6e726143;  // "CarnHld1"
constexpr std::size_t kHeldHeaderBytes = 32, kHeldHashAt = 24;
constexpr std::uint64_t kMostHeldBytes = 1 << 20;  // more than any that is small
constexpr std::uint64_t kStretchBytes = 512 << 10;

std::uint64_t seal_of(Bytes& record) {
  store_le(record.data() + kHeldHashAt, std::uint64_t{0});
  return XXH3_64bits(record.data(), record.size());
}

Bytes sealed(Sequence sequence, ByteView bytes) {
  Bytes record(kHeldHeaderBytes + bytes.size());
  store_le(record.data(), kHeldMagic);
  store_le(record.data() + 8, sequence.value);
  store_le(record.data() + 16, std::uint64_t{bytes.size()});
  std::ranges::copy(bytes, record.begin() + kHeldHeaderBytes);
  store_le(record.data() + kHeldHashAt, seal_of(record));
  return record;
}

using MaybeHeld = std::optional<HeldSegment>;

Result<MaybeHeld> read_sealed(const File& file, std::uint64_t at) {
  Bytes record(kHeldHeaderBytes);
  CAIRN_ASSIGN(const std::size_t header, file.read_at(at, record));
  if (header < record.size() || load_le<std::uint64_t>(record.data()) != kHeldMagic) return MaybeHeld();
  const auto size_bytes = load_le<std::uint64_t>(record.data() + 16);
  if (size_bytes > kMostHeldBytes) return MaybeHeld();
  record.resize(kHeldHeaderBytes + size_bytes);
  CAIRN_ASSIGN(const std::size_t got, file.read_at(at, record));
  if (got < record.size()) return MaybeHeld();
  const auto seal = load_le<std::uint64_t>(record.data() + kHeldHashAt);
  if (seal_of(record) != seal) return MaybeHeld();
  return MaybeHeld({Sequence(load_le<std::uint64_t>(record.data() + 8)),
                    {record.begin() + kHeldHeaderBytes, record.end()}});
}

// Null: there is none.
Result<std::unique_ptr<File>> open_if_there(FileSystem& files, const std::string& path) {
  auto file = files.open(path, OpenMode::read);
  if (!file && file.error().kind() == ErrorKind::not_found) return std::unique_ptr<File>();
  return file;
}

Result<void> blot_out(File& file, std::uint64_t at) { return file.write_at(at, Bytes(sizeof kHeldMagic)); }

}  // namespace

Result<void> FrontFile::write(Sequence sequence, ByteView bytes) {
  if (!file_) {
    CAIRN_ASSIGN(file_, files_.open(path_, OpenMode::write));
  }
  auto written = file_->write_at(0, sealed(sequence, bytes));
  holds_ = written.has_value();
  if (!written) (void)remove();
  return written;
}

Result<void> FrontFile::remove() {
  file_.reset();
  holds_ = false;
  return files_.remove(path_);
}

void FrontFile::leave() {
  if (file_ && !holds_) (void)remove();
}

Result<MaybeHeld> FrontFile::read(FileSystem& files, const std::string& path) {
  CAIRN_ASSIGN(const auto file, open_if_there(files, path));
  return file ? read_sealed(*file, 0) : MaybeHeld();
}

std::optional<std::size_t> KeptLog::append(Sequence sequence, ByteView bytes) {
  if (!file_) {
    auto file = files_.open(path_, OpenMode::write);
    if (!file) return std::nullopt;
    file_ = std::move(*file);
  }
  const std::size_t other = 1 - current_;
  if (stretches_[other].held == 0 && stretches_[current_].held < stretches_[current_].count) current_ = other;
  Stretch& stretch = stretches_[current_];
  const Bytes record = sealed(sequence, bytes);
  if (stretch.used_bytes + record.size() > kStretchBytes) return std::nullopt;
  if (!file_->write_at(current_ * kStretchBytes + stretch.used_bytes, record)) return std::nullopt;
  stretch.used_bytes += record.size();
  ++stretch.count;
  ++stretch.held;
  return current_;
}

void KeptLog::let_go(std::size_t stretch) {
  if (stretches_[stretch].held == 0 || --stretches_[stretch].held > 0) return;
  stretches_[stretch] = {};
  if (!blot_out(*file_, stretch * kStretchBytes)) (void)remove();
}

Result<void> KeptLog::remove() {
  file_.reset();
  stretches_ = {};
  current_ = 0;
  return files_.remove(path_);
}

void KeptLog::leave() {
  if (file_ && stretches_[0].held == 0 && stretches_[1].held == 0) (void)remove();
}

Result<std::vector<HeldSegment>> KeptLog::read(FileSystem& files, const std::string& path) {
  std::vector<HeldSegment> all;
  CAIRN_ASSIGN(const auto file, open_if_there(files, path));
  if (!file) return all;
  for (const std::uint64_t begin : {std::uint64_t{0}, kStretchBytes}) {
    Sequence newest;
    for (std::uint64_t at = begin; at < begin + kStretchBytes;) {
      CAIRN_ASSIGN(auto held, read_sealed(*file, at));
      if (!held || held->sequence <= newest) break;  // what is left of others
      newest = held->sequence;
      at += kHeldHeaderBytes + held->bytes.size();
      all.push_back(std::move(*held));
    }
  }
  return all;
}

}  // namespace cairn::replicate
