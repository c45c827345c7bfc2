// Walks an upper directory depth first in the order of names' bytes, which is the order of sort_key(). It knows which
// names there are, and where; what they are is for the caller to look at (look.h). There is no recursion, and no more
// than a few directories are held open, however deep it goes.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cairn/error.h"
#include "layer/layers.h"
#include "layer/read_ahead.h"

namespace cairn::layer {

// What lies beside a name and belongs to it, if it is a SQLite database: files with its name and an ending.
struct Company {
  bool wal = false, shm = false, journal = false;
};

struct Step {
  enum class What { name, leave } what = What::name;  // leave: all names of the directory `path` have been
  std::string path;
  std::string name;                 // "" for the root
  std::size_t place = 0;            // of the directory's places, the topmost that has the name
  bool is_whiteout_file = false;    // fuse-overlayfs: `.wh.<name>` is what is there
  Company company;
  const struct statx* status = nullptr;  // as far as it is known already; valid until the next step
};

class Walk {
 public:
  explicit Walk(const Layers& layers) : layers_(layers) {}
  // Directories of the upper layer are read ahead by that, which outlives the walk. Before the first enter().
  void read_by(ReadAhead& ahead) { ahead_ = layers_.forms().fuse ? nullptr : &ahead; }

  // False: the end. The first step is the root.
  Result<bool> next(Step& into);
  // The directory that the last step's name lies in.
  const Places& directory() const { return frames_.empty() ? root_ : frames_.back().places; }

  // The last step's name is a directory: what it consists of comes next. Opens it in its place.
  Result<void> enter();
  // The same for one that consists of several.
  Result<void> enter(Places places);
  // The last step's name is a database that is read through SQLite: its -wal and -shm, if they are files, are no names
  // of their own.
  void leave_out_company();
  // The same of a -journal.
  void leave_out_journal();

 private:
  struct Item {
    std::string name;
    std::uint16_t place = 0;
    bool is_whiteout_file = false;
    Company company;
    std::uint32_t companion_of = kNone;  // index of the name that it may belong to
    bool is_journal = false;
    bool leaves_out_company = false, leaves_out_journal = false;
  };
  struct Frame {
    Places places;
    std::vector<Item> items;
    std::size_t next = 0;
    std::size_t path_bytes = 0;
    std::vector<std::optional<struct statx>> statuses;  // of the items, or empty
    std::uint64_t inode = 0;  // of an upper directory that is not held open just now
  };
  static constexpr std::uint32_t kNone = UINT32_MAX;

  Result<void> enter(Listing listing);
  Result<std::vector<Item>> list(const Places& places) const;
  static void find_company(std::vector<Item>& items);
  Result<bool> is_left_out(const Frame& frame, std::size_t at) const;
  Result<void> close_far_ones();
  Result<void> open_again(Frame& frame);

  const Layers& layers_;
  ReadAhead* ahead_ = nullptr;
  Places root_;
  std::vector<Frame> frames_;
  std::string path_;
  bool begun_ = false;
};

}  // namespace cairn::layer
