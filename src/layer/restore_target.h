// Where a restore writes, and how that becomes the target: all at once, or not at all.
#pragma once

#include <memory>
#include <string>

#include "base/clock.h"
#include "base/os.h"
#include "cairn/error.h"

namespace cairn::layer {

enum class Overwrite { no, yes };

class RestoreTarget {
 public:
  // Makes the temporary directory beside `path`, with mode 0700 and locked as long as this object is there, and removes
  // what restores that were killed have left. conflict: the target is there already (unless it is an empty directory),
  // or something is mounted on it or inside: that would be taken along, and is not ours to remove. unsupported: /proc,
  // which tells, is not there.
  static Result<std::unique_ptr<RestoreTarget>> open(const std::string& path, Overwrite overwrite, Random& random);
  ~RestoreTarget();  // without commit() nothing stays
  RestoreTarget(const RestoreTarget&) = delete;
  RestoreTarget& operator=(const RestoreTarget&) = delete;

  // What is made here under this name becomes the target.
  static constexpr const char* kName = "target";
  int directory() const { return temporary_.get(); }

  // Syncs, renames, syncs the name; then what was there before is removed. Only after the rename the target is another
  // one; an error of what comes behind is returned all the same.
  Result<void> commit();

 private:
  RestoreTarget(FileDescriptor parent, std::string path, std::string name, Overwrite overwrite)
      : parent_(std::move(parent)), path_(std::move(path)), name_(std::move(name)), overwrite_(overwrite) {}

  Result<void> check_free();
  Result<void> check_mounts() const;
  Result<void> remove_leftovers() const;
  Result<void> make_temporary(Random& random);
  Result<void> put_in_place();

  const FileDescriptor parent_;
  const std::string path_, name_;  // for messages; its last component
  const Overwrite overwrite_;
  bool exists_ = false;  // the target
  std::string temporary_name_;
  FileDescriptor temporary_;
};

}  // namespace cairn::layer
