// Parts of an object that is not complete in the store yet, as files. A part is written from its beginning on, and is
// whole when the journal knows its size and hash. How long it stays is the journal's to say.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/files.h"
#include "cairn/error.h"
#include "layer/state.h"
#include "segment/running_hash.h"

namespace cairn::layer {

// One that is being written.
class SpoolPart {
 public:
  SpoolPart(std::unique_ptr<File> file, int number) : file_(std::move(file)), number_(number) {}
  int number() const { return number_; }
  std::uint64_t size_bytes() const { return size_bytes_; }
  std::uint64_t hash() const { return hash_.value(); }
  Result<void> append(ByteView bytes);

  struct Mark {
    std::uint64_t size_bytes = 0;
    Bytes hash;
  };
  Mark mark() const { return {size_bytes_, hash_.save()}; }
  Result<void> go_back(const Mark& mark);

 private:
  std::unique_ptr<File> file_;
  int number_ = 0;
  std::uint64_t size_bytes_ = 0;
  segment::RunningHash hash_;
};

class Spool {
 public:
  Spool(FileSystem& files, std::string directory) : files_(files), directory_(std::move(directory)) {}

  Result<std::unique_ptr<SpoolPart>> begin(int number);
  // Null: it is not there, or not what the journal says.
  Result<std::shared_ptr<const Source>> find(const JournaledPart& part);
  Result<std::set<int>> numbers();  // of the parts that lie there, whole or not
  void remove(int number);          // one that stays is removed later, by clear()
  Result<void> keep_only(int last);  // the parts up to that one
  Result<void> clear() { return keep_only(0); }

 private:
  Result<std::vector<std::string>> names();
  std::string path_of(int number) const;

  FileSystem& files_;
  const std::string directory_;
};

}  // namespace cairn::layer
