// Small segments in files that are written over again and again: to make a file for each, rename and remove it is a
// tenth of what a put costs. A killed process leaves them; after a power loss they are there whole, or older ones are,
// or none. Both read: io, denied: what is there is not known.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/files.h"
#include "base/ids.h"

namespace cairn::replicate {

struct HeldSegment {
  Sequence sequence;
  Bytes bytes;
};

// The one that a spool begins with. Not safe from many threads.
class FrontFile {
 public:
  FrontFile(FileSystem& files, std::string path) : files_(files), path_(std::move(path)) {}
  FrontFile(const FrontFile&) = delete;
  FrontFile& operator=(const FrontFile&) = delete;

  // It survives a killed process once this returns. On an error there is none, and no file.
  Result<void> write(Sequence sequence, ByteView bytes);
  // It is published. The file stays to be written over; who finds it after a kill knows that by its sequence.
  void let_go() { holds_ = false; }
  // Not even then, once the folder is synced.
  Result<void> remove();
  // Nothing more is done with it. It leaves no file that holds none.
  void leave();
  // Nothing: there is none, or it is not whole.
  static Result<std::optional<HeldSegment>> read(FileSystem& files, const std::string& path);

 private:
  FileSystem& files_;
  const std::string path_;
  std::unique_ptr<File> file_;  // once something was written
  bool holds_ = false;
};

// Those that are kept in memory until they are merged, in two stretches of one file that take turns. Not safe from many
// threads.
class KeptLog {
 public:
  KeptLog(FileSystem& files, std::string path) : files_(files), path_(std::move(path)) {}
  KeptLog(const KeptLog&) = delete;
  KeptLog& operator=(const KeptLog&) = delete;

  // The stretch that it is in; nothing: there is no room, or the disk does not take it.
  std::optional<std::size_t> append(Sequence sequence, ByteView bytes);
  // Of one that append() has put into this stretch.
  void let_go(std::size_t stretch);
  // None of them comes back, not even with a power loss, once the folder is synced.
  Result<void> remove();
  // Nothing more is done with it. It leaves no file that holds none.
  void leave();
  static Result<std::vector<HeldSegment>> read(FileSystem& files, const std::string& path);

 private:
  struct Stretch {
    std::uint64_t used_bytes = 0;
    std::size_t count = 0, held = 0;  // appended to it, and not let go of
  };

  FileSystem& files_;
  const std::string path_;
  std::unique_ptr<File> file_;  // once something was appended
  std::array<Stretch, 2> stretches_;
  std::size_t current_ = 0;
};

}  // namespace cairn::replicate
