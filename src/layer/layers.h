// The directories of an overlay mount: the upper one, and those below it as far as they were given. Only what an upper
// directory cannot say by itself is looked up below: the contents of a metacopy, and of a directory that was renamed
// (overlay.redirect). The rules are those of fs/overlayfs/namei.c.
#pragma once

#include <sys/stat.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/os.h"
#include "cairn/error.h"
#include "cairn/layer.h"
#include "layer/look.h"
#include "layer/overlay.h"

namespace cairn::layer {

// A directory in one of the layers.
struct Place {
  std::shared_ptr<const FileDescriptor> directory;
  int layer = 0;  // 0 is the upper one, 1 the topmost below it
  int fd() const { return directory->get(); }
};
// What a directory consists of, the topmost first. Most are the upper one's alone.
using Places = std::vector<Place>;

class Layers {
 public:
  // not_found: one of the directories is not there. unsupported: the upper one may have marks that this process is not
  // shown (trusted.h), and that is to be refused; or /proc is not there.
  static Result<std::unique_ptr<Layers>> open(const std::string& upper, const std::vector<std::string>& lower,
                                              LayerMarks marks, LayerHiddenAttributes hidden);

  const MarkForms& forms() const { return forms_; }
  const Place& upper() const { return roots_.front(); }
  bool has_lower() const { return roots_.size() > 1; }
  bool sees_trusted() const { return sees_trusted_; }  // trusted.* attributes
  // Of a whiteout that is a device. unsupported: root's mount made it, so that others of its marks may be hidden.
  Result<void> check_whiteout(const struct statx& whiteout) const;

  // The directory `name` of a directory that consists of `places`, as the mount shows it. Empty: there is none.
  Result<Places> merged_directory(const Places& places, const std::string& name) const;
  // The same by a path from the root, all layers taken together.
  Result<Places> merged_directory(std::string_view path) const;

  // The directories below the upper one that the upper directory `path` is laid over.
  Result<Places> below(std::string_view path) const;
  // The file below that has the contents of a metacopy, open. `layer`: where the metacopy lies. `below`: what its
  // directory lies over. Nothing: none has.
  Result<std::optional<FileDescriptor>> contents_of(int layer, const Places& below, const std::string& name,
                                                    const std::optional<std::string>& redirect) const;

 private:
  struct Trail;

  Result<Places> descend(Places places, std::string_view path) const;

  std::vector<Place> roots_;  // of the layers
  MarkForms forms_;
  bool sees_trusted_ = true;
  std::string path_;                  // of the upper one
  std::optional<uid_t> not_expected_;  // to have made a whiteout: root, if the upper one is taken for a user's own
};

// unsupported: `mark` stands for what lies in a lower directory, and was not found there.
Error needs_lower(std::string_view mark, std::string_view what);

// Opens a file for reading without following links and without leaving `directory` or its mount, and without changing
// its access time where that is allowed. Nothing: it is not there, or no file.
Result<std::optional<FileDescriptor>> open_file(int directory, const std::string& path);

}  // namespace cairn::layer
