#include "layer/tree.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/files.h"
#include "layer/merged_view.h"
#include "layer/open_entry.h"
#include "sqlite/database_copy.h"
#include "sqlite/rollback_copy.h"

namespace cairn::layer {
namespace {

// Who writes through a mapping moves the ctime only with the first store into a page that is clean, so a store after
// the reading, into one that was dirty before, would never be noticed. Writeback makes pages clean, and the next store
// into each shows again; it has to begin before the ctime is asked for. Where nothing is written back (tmpfs), such
// stores show whenever the file system shows them.
Result<void> let_mappings_show(int file, bool is_overlay) {
  // In a merged view the pages are those of another file, which only a sync reaches.
  const int done = is_overlay ? ::fdatasync(file)
                              : ::sync_file_range(file, 0, 0, SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE);
  if (done == 0 || (errno != EIO && errno != ENOSPC && errno != EDQUOT)) return {};
  return os_error(errno, "writing back what is mapped");
}

Result<bool> lies_on_overlay(int directory) {
  struct statfs status {};
  if (::fstatfs(directory, &status) != 0) return os_error(errno, "its file system");
  return status.f_type == OVERLAYFS_SUPER_MAGIC;
}

// To leave it out would take it from a full layer, and not only from what is new. So the sync is begun anew.
Error mounted_meanwhile() {
  return Error(ErrorKind::not_found, "something was mounted there since the directory was looked at");
}

class RealTree final : public Tree {
 public:
  RealTree(std::string root, const TreeOptions& options, Clock& clock, std::unique_ptr<Layers> layers, bool is_overlay,
           std::uint64_t mount)
      : root_(std::move(root)),
        options_(options),
        clock_(clock),
        layers_(std::move(layers)),
        is_overlay_(is_overlay),
        mount_(mount) {}

  const std::string& root() const override { return root_; }
  const Layers& layers() const override { return *layers_; }
  bool reads_databases() const override { return options_.databases == LayerDatabases::through_sqlite; }
  Result<std::unique_ptr<OpenEntry>> open_entry(const PlanRow& row, int attempt) override;

 private:
  using MaybeOpen = std::unique_ptr<OpenEntry>;
  using MaybeFile = std::optional<FileDescriptor>;
  // Where a name lies: the directory, and those that it is laid over. No place: nowhere.
  struct Where {
    Places places;
    std::string name;
  };
  Result<Where> where(const PlanRow& row);
  Result<Places> directory_of(const PlanRow& row);
  Result<std::unique_ptr<OpenEntry>> open_put(const PlanRow& row);
  // What is looked at: a name, or what is held open.
  enum class Looking { by_name, held };
  Result<MaybeOpen> open_mount_point(const PlanRow& row, const Where& at, const struct statx& status);
  Result<std::optional<MaybeOpen>> try_to_open(const PlanRow& row, const Where& at, Looking looking);
  Result<MaybeOpen> open_looked_at(const PlanRow& row, const Where& at, const struct statx& status,
                                   std::int64_t looked_at_ms, Look look, MaybeFile held);
  Result<MaybeOpen> open_contents(const Where& at, Opened opened, MaybeFile held);
  Result<MaybeOpen> open_database(const Where& at, Opened opened);
  Result<MaybeOpen> open_in_rollback_mode(const Where& at, Opened& opened);
  std::shared_ptr<const FileDescriptor> where_locks_are_seen(const Where& at, const std::string& path);
  Result<bool> is_xattr_whiteout(int directory, const struct statx& status, const OverlayMarks& marks) const;
  Result<bool> is_still_linked(const PlanRow& row, const Opened& opened);
  Result<bool> lies_in_company(const PlanRow& row, const Where& at, const Opened& opened) const;
  Result<bool> belongs_to_database(const PlanRow& row, const Where& at) const;

  std::string root_;
  TreeOptions options_;
  Clock& clock_;
  std::unique_ptr<Layers> layers_;
  const bool is_overlay_;    // a merged view, not an upper directory
  const std::uint64_t mount_;  // that the root lies in
  std::string parent_path_;  // of the entry before: most entries have the same one
  Places parent_;
  int attempt_ = 1;          // of the entry that is being opened
};

Result<Places> RealTree::directory_of(const PlanRow& row) {
  const std::string parent(parent_of(row.path));
  if (row.is_below) return layers_->merged_directory(parent);
  if (parent_.empty() || parent_path_ != parent) {
    parent_.clear();
    CAIRN_ASSIGN(auto opened, open_directory(layers_->upper().fd(), parent));
    if (!opened && leads_into_mount(layers_->upper().fd(), parent)) return mounted_meanwhile();
    if (!opened) return Places();
    parent_.push_back({std::make_shared<FileDescriptor>(std::move(*opened)), 0});
    parent_path_ = parent;
  }
  return parent_;
}

// Of a merged directory the topmost layer that has the name; the directories above it in the list are dropped.
Result<RealTree::Where> RealTree::where(const PlanRow& row) {
  if (row.path.empty()) return Where{{layers_->upper()}, ""};
  CAIRN_ASSIGN(Places places, directory_of(row));
  std::string name(name_of(row.path));
  while (row.is_below && !places.empty()) {
    CAIRN_ASSIGN(const auto status, status_at(places.front().fd(), name));
    if (status) break;
    places.erase(places.begin());
  }
  return Where{std::move(places), std::move(name)};
}

Result<std::unique_ptr<OpenEntry>> RealTree::open_entry(const PlanRow& row, int attempt) {
  attempt_ = attempt;
  if (row.action != PlanAction::put) {
    const EntryKind kind = row.action == PlanAction::opaque ? EntryKind::opaque : EntryKind::whiteout;
    Opened opened;
    opened.name = join_path(root_, row.path);
    opened.entry = mark_entry(row.path, kind, row.mark);
    return make_open_name(std::move(opened));
  }
  auto open = open_put(row);
  if (!open) return open.error().with(join_path(root_, row.path));
  return open;
}

Result<std::unique_ptr<OpenEntry>> RealTree::open_put(const PlanRow& row) {
  CAIRN_ASSIGN(const Where at, where(row));
  if (at.places.empty()) return MaybeOpen();
  CAIRN_ASSIGN(const bool is_company, belongs_to_database(row, at));
  if (is_company) return MaybeOpen();
  // A file that is written to, or replaced by another one, between looking and opening is looked at again. When that
  // does not end it is opened first: what is held is one file, however many take its place meanwhile.
  constexpr int kTries = 8;
  for (int i = 0; i < kTries; ++i) {
    CAIRN_ASSIGN(auto open, try_to_open(row, at, i + 1 < kTries ? Looking::by_name : Looking::held));
    if (!open) continue;
    // What it lies beside may have become a database of which it is a part, while it was looked at and opened.
    CAIRN_ASSIGN(const bool is_company_by_now, belongs_to_database(row, at));
    return is_company_by_now ? MaybeOpen() : std::move(*open);
  }
  return MaybeOpen();
}

// A -wal, -shm or -journal that the scan has planned as a file: since then what it is of has become a database that is
// stored through SQLite, or its journal has become hot.
Result<bool> RealTree::belongs_to_database(const PlanRow& row, const Where& at) const {
  const bool is_file = row.kind == EntryKind::file || row.kind == EntryKind::hard_link;
  if (!reads_databases() || row.is_below || !is_file) return false;
  const int directory = at.places.front().fd();
  constexpr std::string_view kJournal = "-journal";
  for (const std::string_view ending : {std::string_view("-wal"), std::string_view("-shm"), kJournal}) {
    if (!at.name.ends_with(ending)) continue;
    const std::string base = at.name.substr(0, at.name.size() - ending.size());
    // To open a FIFO would wait for a writer, and to open a device may do anything.
    CAIRN_ASSIGN(const auto status, status_at(directory, base));
    if (!status || !S_ISREG(status->stx_mode)) return false;
    if (ending != kJournal) return sqlite::has_contents_in_wal(directory, base);
    CAIRN_ASSIGN(const auto role, sqlite::role_of_journal(directory, base));
    return role != sqlite::JournalRole::none;
  }
  return false;
}

// Nothing: it has changed just then. Null: it is none that the plan means.
Result<std::optional<RealTree::MaybeOpen>> RealTree::try_to_open(const PlanRow& row, const Where& at, Looking looking) {
  const std::int64_t looked_at_ms = clock_.now().wall_ms;
  int place = at.places.front().fd();
  std::string name = at.name;
  MaybeFile held;
  if (looking == Looking::held) {
    CAIRN_ASSIGN(held, open_file(place, name));
    if (!held) return std::optional<MaybeOpen>();
    CAIRN_TRY(let_mappings_show(held->get(), is_overlay_));
    place = held->get();
    name.clear();
  }
  const auto none = [] { return std::optional(MaybeOpen()); };
  CAIRN_ASSIGN(const auto status, status_at(place, name));
  if (!status) return none();
  if (at.places.front().layer == 0 && status->stx_mnt_id != mount_) {
    CAIRN_ASSIGN(auto open, open_mount_point(row, at, *status));
    return std::optional(std::move(open));
  }
  CAIRN_ASSIGN(auto look, look_at(place, name, *status, {layers_->forms(), false}));
  if (!look) return std::optional<MaybeOpen>();
  CAIRN_ASSIGN(const bool is_whiteout, is_xattr_whiteout(at.places.front().fd(), *status, look->marks));
  if (is_whiteout) return none();
  const bool is_directory = look->entry.kind == EntryKind::directory;
  const bool is_name = look->entry.kind != EntryKind::whiteout && !look->is_socket;
  if (!is_name || is_directory != (row.kind == EntryKind::directory)) return none();
  CAIRN_ASSIGN(auto open, open_looked_at(row, at, *status, looked_at_ms, std::move(*look), std::move(held)));
  return open ? std::optional(std::move(open)) : std::optional<MaybeOpen>();
}

Result<std::unique_ptr<OpenEntry>> RealTree::open_mount_point(const PlanRow& row, const Where& at,
                                                              const struct statx& status) {
  if (!row.is_mount_point) return mounted_meanwhile();
  if (!S_ISDIR(status.stx_mode)) return MaybeOpen();
  CAIRN_ASSIGN(Look look, look_below_mount(at.places.front().fd(), at.name, {layers_->forms(), false}));
  // The status is of what is mounted, so once that is gone it proves nothing.
  return open_looked_at(row, at, status, 0, std::move(look), std::nullopt);
}

// Rare enough to look at the directory once more.
Result<bool> RealTree::is_xattr_whiteout(int directory, const struct statx& status, const OverlayMarks& marks) const {
  if (!marks.whiteout || !S_ISREG(status.stx_mode) || status.stx_size > 0) return false;
  CAIRN_ASSIGN(auto xattrs, xattrs_at(directory, ""));
  CAIRN_ASSIGN(const OverlayMarks of_directory, take_marks(xattrs, layers_->forms()));
  return of_directory.has_xattr_whiteouts;
}

Result<std::unique_ptr<OpenEntry>> RealTree::open_looked_at(const PlanRow& row, const Where& at,
                                                            const struct statx& status, std::int64_t looked_at_ms,
                                                            Look look, MaybeFile held) {
  Opened opened;
  opened.looked_at_ms = looked_at_ms;
  opened.name = join_path(root_, row.path);
  opened.place = at.places.front();
  opened.entry = std::move(look.entry);
  opened.entry.path = row.path;
  opened.marks = std::move(look.marks);
  opened.stamp = stamp_of(status);
  opened.is_shared = status.stx_nlink > 1 && opened.entry.kind != EntryKind::directory;
  if (opened.entry.kind == EntryKind::directory) {
    opened.entry.forgotten = row.forgotten;
    // It has become opaque since the scan, or is no longer; or its empty files mean something else by now. The layer
    // has not what belongs to that, so the next sync is to find it out.
    bool& has_whiteouts = opened.marks.has_xattr_whiteouts;
    if (opened.entry.mark != row.mark || has_whiteouts != row.has_xattr_whiteouts) opened.looked_at_ms = 0;
    opened.entry.mark = row.mark;
    has_whiteouts = row.has_xattr_whiteouts;
  }
  if (row.kind == EntryKind::hard_link) {
    CAIRN_ASSIGN(const bool linked, is_still_linked(row, opened));
    CAIRN_ASSIGN(const bool stands_alone, lies_in_company(row, at, opened));
    if (linked && !stands_alone) {
      opened.entry = link_entry(std::move(opened.entry), row.link_target);
      return make_open_name(std::move(opened));
    }
  }
  if (opened.entry.kind != EntryKind::file || opened.entry.size_bytes == 0) return make_open_name(std::move(opened));
  if (reads_databases() && !row.is_below && !opened.marks.metacopy) {
    CAIRN_ASSIGN(const bool is_database, sqlite::has_contents_in_wal(at.places.front().fd(), at.name));
    if (is_database) return open_database(at, std::move(opened));
    CAIRN_ASSIGN(auto open, open_in_rollback_mode(at, opened));
    if (open) return open;
  }
  return open_contents(at, std::move(opened), std::move(held));
}

Result<std::unique_ptr<OpenEntry>> RealTree::open_database(const Where& at, Opened opened) {
  const int directory = at.places.front().fd();
  CAIRN_ASSIGN(const auto wal, status_at(directory, at.name + "-wal"));
  if (!wal) return MaybeOpen();
  // Commits behind this are of the next sync: they move the -wal's stamp.
  opened.wal = stamp_of(*wal);
  opened.merged = where_locks_are_seen(at, opened.entry.path);
  CAIRN_ASSIGN(auto copy, sqlite::DatabaseCopy::open(directory, at.name, opened.merged ? opened.merged->get() : -1));
  if (!copy) return MaybeOpen();
  // What was committed last is in the -wal, and so is the time of it. A checkpoint alone changes nothing.
  if (wal->stx_size > 0) {
    opened.entry.mtime_s = wal->stx_mtime.tv_sec;
    opened.entry.mtime_ns = wal->stx_mtime.tv_nsec;
  }
  opened.entry.size_bytes = copy->size_bytes();
  return make_open_database(std::move(opened), std::move(copy));
}

// The directory in the merged view. Null: that is not seen from here, or this is one.
std::shared_ptr<const FileDescriptor> RealTree::where_locks_are_seen(const Where& at, const std::string& path) {
  if (is_overlay_) return {};
  const MaybeFile view = merged_view_of(layers_->upper().fd());  // not kept: who ends the container unmounts it
  if (!view) return {};
  auto there = directory_in_view(view->get(), std::string(parent_of(path)), at.places.front().fd(), at.name);
  return there ? std::make_shared<const FileDescriptor>(std::move(*there)) : nullptr;
}

// Null: it is none, and a file like any other.
Result<std::unique_ptr<OpenEntry>> RealTree::open_in_rollback_mode(const Where& at, Opened& opened) {
  constexpr std::uint64_t kSmallestPage = 512;
  if (opened.entry.size_bytes % kSmallestPage != 0) return MaybeOpen();
  using Lock = sqlite::RollbackReading::Lock;
  sqlite::RollbackReading how;
  how.lock = attempt_ > 1 ? Lock::keep : Lock::let_go;
  how.wait_ms = options_.transaction_wait_ms;
  const int directory = at.places.front().fd();
  opened.merged = where_locks_are_seen(at, opened.entry.path);
  CAIRN_ASSIGN(auto copy,
               sqlite::RollbackCopy::open(opened.merged ? opened.merged->get() : directory, at.name, how));
  if (!copy) return MaybeOpen();
  // The stamp stays that of the first look: whatever has changed since is looked at again by the next sync.
  const std::int64_t mtime_ns = copy->stamp().mtime_ns;
  if (mtime_ns != opened.stamp.mtime_ns) {
    constexpr std::int64_t kNsPerSecond = 1'000'000'000;
    const std::int64_t rest_ns = (mtime_ns % kNsPerSecond + kNsPerSecond) % kNsPerSecond;  // also of times before 1970
    opened.entry.mtime_s = (mtime_ns - rest_ns) / kNsPerSecond;
    opened.entry.mtime_ns = static_cast<std::uint32_t>(rest_ns);
  }
  opened.entry.size_bytes = copy->size_bytes();
  if (const auto& journal = copy->journal()) {
    // In the merged view it may have another number, and the next scan sees the upper directory's.
    CAIRN_ASSIGN(const sqlite::FileStamp here, sqlite::file_stamp(directory, at.name + "-journal"));
    opened.wal = Stamp{here.inode, journal->ctime_ns, journal->mtime_ns, journal->size};
  }
  return make_open_database(std::move(opened), std::move(copy));
}

Result<bool> RealTree::is_still_linked(const PlanRow& row, const Opened& opened) {
  PlanRow target = row;
  target.path = row.link_target;
  CAIRN_ASSIGN(const Where at, where(target));
  if (at.places.empty()) return false;
  CAIRN_ASSIGN(const auto status, status_at(at.places.front().fd(), at.name));
  return status && status->stx_ino == opened.stamp.inode;
}

// A part of what a database holds under this name lies beside it: a link to another name would be without that.
Result<bool> RealTree::lies_in_company(const PlanRow& row, const Where& at, const Opened& opened) const {
  if (!reads_databases() || row.is_below || opened.entry.kind != EntryKind::file) return false;
  const int directory = at.places.front().fd();
  CAIRN_ASSIGN(const bool is_in_wal, sqlite::has_contents_in_wal(directory, at.name));
  if (is_in_wal) return true;
  CAIRN_ASSIGN(const auto journal, status_at(directory, at.name + "-journal"));
  if (!journal) return false;
  CAIRN_ASSIGN(const auto role, sqlite::role_of_journal(directory, at.name));
  return role != sqlite::JournalRole::none;
}

// Null: the name leads elsewhere by now. `held`: the file is open, and was looked at so.
Result<std::unique_ptr<OpenEntry>> RealTree::open_contents(const Where& at, Opened opened, MaybeFile held) {
  std::optional<FileDescriptor> file;
  if (opened.marks.metacopy) {
    CAIRN_ASSIGN(const Places below, at.places.front().layer == 0 && at.places.size() == 1
                                         ? layers_->below(parent_of(opened.entry.path))
                                         : Result<Places>(Places(at.places.begin() + 1, at.places.end())));
    CAIRN_ASSIGN(file, layers_->contents_of(at.places.front().layer, below, at.name, opened.marks.redirect));
    if (!file) return needs_lower("overlay.metacopy", "the contents of this file are");
    return make_open_file(std::move(opened), std::move(*file), true);
  }
  const bool was_held = held.has_value();
  if (was_held) {
    file = std::move(held);
  } else {
    CAIRN_ASSIGN(file, open_file(at.places.front().fd(), at.name));
    if (!file) return MaybeOpen();
    CAIRN_TRY(let_mappings_show(file->get(), is_overlay_));
  }
  CAIRN_ASSIGN(const auto now, status_at(file->get(), ""));
  if (!now || (!was_held && !(stamp_of(*now) == opened.stamp))) return MaybeOpen();
  constexpr std::uint64_t kSector = 512;
  if (now->stx_blocks * kSector < now->stx_size) {
    CAIRN_ASSIGN(opened.entry.holes, holes_of(file->get(), opened.entry.size_bytes));
  }
  return make_open_file(std::move(opened), std::move(*file), false);
}

}  // namespace

Result<std::unique_ptr<Tree>> Tree::open(const std::string& root, const TreeOptions& options, Clock& clock) {
  CAIRN_ASSIGN(auto layers, Layers::open(root, options.lower, options.marks, options.hidden_attributes));
  CAIRN_ASSIGN(const bool is_overlay, lies_on_overlay(layers->upper().fd()));
  CAIRN_ASSIGN(const auto status, status_at(layers->upper().fd(), ""));
  const std::uint64_t mount = status ? status->stx_mnt_id : 0;
  return std::unique_ptr<Tree>(std::make_unique<RealTree>(root, options, clock, std::move(layers), is_overlay, mount));
}

}  // namespace cairn::layer
