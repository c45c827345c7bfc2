// Writes entries into an empty directory, in their order, with everything that they have.
//
// Owners come before modes (a change of owner takes setuid bits away), modes before attributes (a capability is taken
// away by a change of owner, an ACL is changed by a mode), times last. A directory gets its own when all that is in it
// is there: until then it has mode 0700 and no default ACL that its contents would inherit.
//
// Only names of the directory at hand are made, each with O_EXCL and never through a link: what an archive says cannot
// lead outside, whatever it has put there before.
//
// Errors: denied (names what this user may not set), corrupt (an order or a link that cannot be), unsupported
// (attributes where the file system has none), io.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/os.h"
#include "cairn/error.h"
#include "layer/entry.h"
#include "layer/new_file.h"
#include "layer/overlay.h"

struct statx;

namespace cairn::layer {

enum class TreeForm {
  upper,            // an upper directory: marks as they were
  upper_user_marks,  // the same with all marks as user.overlay.*
  plain,            // what the container sees: no marks, attributes as they are
};

class TreeWriter {
 public:
  // What entry "" is becomes `name` in the directory `base`, whose descriptor the caller keeps open.
  TreeWriter(int base, std::string name, TreeForm form) : base_(base), name_(std::move(name)), form_(form) {}

  // A name without contents, in order: whatever is no file, and the link to a file. Whiteouts that the form does not
  // have are left out.
  Result<void> add(const Entry& entry);

  // A file is begun, written to, and ended once all of it is there. Others may be begun and ended meanwhile, also links
  // to it, and its directory may be complete before: a file gets what it has through its descriptor.
  Result<NewFile> begin_file(const Entry& entry);
  Result<void> end_file(const NewFile& file) const;

  // What the system says of the name that was added last; of a directory without its last attributes.
  Result<void> status(struct ::statx& status) const;

  // All directories get their attributes.
  Result<void> finish();

 private:
  // The way to the current directory.
  struct Level {
    Entry entry;
    FileDescriptor fd;  // of the far ones none: they are opened again when they are needed
    Mark whiteouts = Mark::none;  // of the attribute form, in it
  };

  Result<int> parent_of_entry(const Entry& entry);
  Result<void> leave();
  Result<int> descriptor_of(std::size_t level);
  Result<void> add_directory(const Entry& entry, int parent, const std::string& name);
  Result<void> add_whiteout(const Entry& entry, int parent, const std::string& name);
  Result<void> add_link(const Entry& entry, int parent, const std::string& name);
  Result<void> add_special(const Entry& entry, int parent, const std::string& name);
  Result<void> make_empty_file(const Entry& entry, int parent, const std::string& name);
  Result<void> set_attributes(const Entry& entry, int parent, const std::string& name);
  Result<void> set_attributes(const Entry& entry, int fd) const;
  enum class When { before_mode, after_mode };
  template <class Set>
  Result<void> set_xattrs(const Entry& entry, const std::vector<Xattr>& xattrs, When when, Set set) const;
  std::vector<Xattr> xattrs_of(const Entry& entry) const;
  bool keeps_owner(const Entry& entry) const { return form_ == TreeForm::upper && entry.stored_owner.has_value(); }
  StoredOwner owner_of(const Entry& entry) const;
  bool may_stay(const Entry& entry) const;
  Result<void> show_forms(const Level& root);
  std::string name_at(const Entry& entry) const;
  Error failed(int error_number, std::string_view what, const Entry& entry) const;

  const int base_;
  const std::string name_;
  const TreeForm form_;
  std::vector<Level> levels_;
  Signs signs_;

  int last_parent_ = -1;  // where the name that came last is
  std::string last_name_;
};

}  // namespace cairn::layer
