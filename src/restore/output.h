// The file that a restore writes: a temporary one beside the target, which takes the target's place at the very end.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "base/files.h"
#include "base/ids.h"
#include "cairn/restore.h"

namespace cairn::restore {

class Output {
 public:
  // Looks at the place, writes nothing yet. A symbolic link is followed: the file it names is the one replaced.
  // conflict: there is a file and nobody said to replace it. busy: the database there is in use. invalid: it is a
  // folder, or its folder does not exist.
  static Result<std::unique_ptr<Output>> prepare(const std::string& path, const RestoreOptions& options,
                                                 FileSystem& files);
  // Removes the temporary file unless commit() succeeded.
  ~Output();
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  // Makes the temporary file, "<path>.cairn-<8 digits>", `size_bytes` long and all zeros. An earlier one (of a plan
  // that did not work out) goes, and so do those that killed restores left here.
  Result<void> begin(std::uint64_t size_bytes);
  File& file() { return *file_; }
  // The file that is there now, for --onto; null when there is none.
  Result<std::unique_ptr<File>> open_existing();

  // fsync; the old database's -wal, -shm and -journal out of the way; rename; fsync of the folder. On an error all is
  // as it was. conflict: a file has appeared there meanwhile, and nobody said to replace one. In a crash in between,
  // the old files are complete under their old names or (the siblings) under "<name>.cairn-old".
  Result<void> commit();

 private:
  Output(std::string path, bool may_replace, FileSystem& files)
      : path_(std::move(path)), may_replace_(may_replace), files_(files) {}
  Error exists_already() const;
  Result<void> open_temporary();
  void drop_temporary();
  void remove_leftovers();
  Result<void> adopt_owner_and_mode();
  Result<void> set_siblings_aside();
  Result<void> take_place();
  void bring_siblings_back();
  void forget_siblings();
  void part_siblings();

  const std::string path_;
  const bool may_replace_;
  FileSystem& files_;
  std::string temporary_;  // "" while there is none
  std::unique_ptr<File> file_;
  std::unique_ptr<FileLock> lock_;  // on the temporary file: it is nobody's leftover while this is held
  std::vector<std::string> aside_;  // siblings now under "<name>.cairn-old"
  std::map<std::string, std::uint64_t> stale_;  // siblings that lay here when there was no database, by inode
};

}  // namespace cairn::restore
