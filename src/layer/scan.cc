// The walk and the catalogue are both in the order of sort_key(), so one pass over both tells for each name whether it
// is new, known, or gone. Three things look further than one name:
//
//   a directory that is gone, or is a file by now, takes along the rows below it (`covered_`)
//   a directory that becomes opaque hides all that older layers have in it, so all in it is written (`puts_all`)
//   a file with several names is written under all of them or under none: a link needs its target in the same layer,
//   and a link that stayed behind would lead to the old file. Which names that takes is known at the end of the walk
//   (`complete_links`)
#include "layer/scan.h"

#include <fmt/format.h>

#include "base/files.h"
#include "layer/scanner.h"
#include "layer/tar_fields.h"
#include "segment/running_hash.h"
#include "sqlite/database_copy.h"
#include "sqlite/rollback_copy.h"

namespace cairn::layer {

namespace {

// Also most tools that read a layer go no further. What is longer is not left out in silence.
Error too_long(const std::string& root, std::string_view path) {
  constexpr std::size_t kShown = 200;
  return Error(ErrorKind::unsupported,
               fmt::format("{}: a path of {} bytes is there, and a layer has none of more than {}: shorten it or "
                           "remove it. It begins with {}...",
                           root, path.size(), kMaxPathBytes, path.substr(0, kShown)));
}

// A directory that becomes opaque hides all that older layers have in it.
Error hidden_by_mount(std::string_view path) {
  return Error(ErrorKind::conflict,
               fmt::format("'{}' lies in a directory that hides what the store has there since the last sync (it is "
                           "opaque, or was replaced), and something is mounted on it, so that what is to be kept of it "
                           "cannot be seen: unmount that once, and sync again", path));
}

}  // namespace

Scanner::Scanner(Tree& tree, Catalogue& catalogue, Clock& clock, const ScanOptions& options)
    : tree_(tree), layers_(tree.layers()), catalogue_(catalogue), clock_(clock), options_(options),
      writer_(catalogue, options.goal == ScanGoal::look ? PlanWriter::Making::nothing : PlanWriter::Making::plan),
      walk_(layers_) {}

Result<ScanResult> Scanner::run() {
  began_ms_ = clock_.now().wall_ms;
  CAIRN_ASSIGN(rows_, catalogue_.database().prepare(fmt::format(
                          "SELECT {} FROM layer_scan_row WHERE container = ?1 ORDER BY key", kRowColumns)));
  CAIRN_TRY(rows_.begin(catalogue_.container()));
  CAIRN_TRY(advance());
  for (Step now;;) {
    if (options_.stop.stop_requested()) return Error(ErrorKind::cancelled, "the scan was stopped");
    CAIRN_ASSIGN(const bool more, walk_.next(now));
    if (!more || ends_early()) break;
    if (now.path.size() > kMaxPathBytes) return too_long(tree_.root(), now.path);
    auto done = step(now);
    if (!done) return done.error().with(join_path(tree_.root(), now.path));
  }
  rows_.reset();
  CAIRN_TRY(complete_links());
  const SyncKind kind = options_.goal == ScanGoal::full ? SyncKind::full : SyncKind::increment;
  CAIRN_TRY(writer_.finish(kind, began_ms_, result_.skipped_sockets));
  result_.planned = writer_.rows();
  result_.planned_bytes = writer_.bytes();
  result_.changed = writer_.has_rows();
  return result_;
}

Result<void> Scanner::step(const Step& now) {
  if (now.what == Step::What::name) return name(now);
  CAIRN_TRY(pass_rows_before(keys_below(levels_.back().directory.key).end));
  levels_.pop_back();
  return {};
}

Result<void> Scanner::name(const Step& now) {
  Name name{now};
  name.key = sort_key(now.path);
  CAIRN_TRY(pass_rows_before(name.key));
  CAIRN_ASSIGN(const bool is_there, find(name));
  if (!is_there) return {};
  if (has_row_ && row_.key == name.key) name.row = &row_;
  CAIRN_TRY(known(name));
  // Its row is done with, unless the name turned out to be none: then it has vanished.
  if (name.is_kept && name.row != nullptr) return advance();
  return {};
}

// False: there is no such name any more, or none that a layer could have.
Result<bool> Scanner::find(Name& name) {
  const Step& now = name.step;
  const Place& place = walk_.directory()[now.place];
  name.directory = place.fd();
  name.layer = place.layer;
  const std::string file = now.is_whiteout_file ? std::string(kWhiteoutPrefix) + now.name : now.name;
  if (now.status != nullptr) {
    name.status = *now.status;
  } else {
    CAIRN_ASSIGN(const auto status, status_at(name.directory, file));
    if (!status) return false;
    name.status = *status;
  }
  if (now.path.empty()) begin_at(name.status.stx_mnt_id);
  if (S_ISSOCK(name.status.stx_mode)) ++result_.skipped_sockets;
  return !S_ISSOCK(name.status.stx_mode);
}

void Scanner::begin_at(std::uint64_t mount) {
  mount_ = mount;
  if (options_.ahead == nullptr) return;
  ahead_.emplace(*options_.ahead, mount);
  walk_.read_by(*ahead_);
}

Result<void> Scanner::known(Name& name) {
  if (name.layer == 0 && name.status.stx_mnt_id != mount_) return mount_point(name);
  ++result_.entries;
  if (name.step.is_whiteout_file) return whiteout(name, Mark::file);
  if (is_device_whiteout(name.status)) {
    if (name.layer == 0) CAIRN_TRY(layers_.check_whiteout(name.status));
    return whiteout(name, Mark::device);
  }
  note_links(name);
  CAIRN_TRY(note_database(name));
  if (!is_unchanged(name)) return examine(name);
  keep(name);
  if (S_ISDIR(name.status.stx_mode)) return enter(name, *name.row, false);
  return {};
}

// The name is one of the container's; a later one may be a link to it.
void Scanner::keep(Name& name) {
  name.is_kept = true;
  if (name.is_shared && name.link_target.empty()) first_names_.emplace(file_of(name), name.step.path);
}

// What is mounted there is not the container's. What the store has of the name stays as it is.
Result<void> Scanner::mount_point(Name& name) {
  notice(fmt::format("{}: something is mounted there; it is not looked into", join_path(tree_.root(), name.step.path)));
  name.is_kept = true;
  covered_ = name.key + '\0';
  Look look;
  if (S_ISDIR(name.status.stx_mode)) {
    CAIRN_ASSIGN(look, look_below_mount(name.directory, name.step.name, rules()));
  }
  look.entry.path = name.step.path;
  if (name.row != nullptr) {
    CAIRN_ASSIGN(const bool hides, hides_known(name, look.entry));
    result_.hides_known |= hides;
    if (hides && puts_all() && options_.goal != ScanGoal::full) return hidden_by_mount(name.step.path);
  }
  if (look.entry.kind != EntryKind::directory || (name.row != nullptr && !puts_all())) return {};
  CAIRN_TRY(put(name, look));
  return look.entry.mark != Mark::none ? writer_.opaque(name.key, look.entry.mark) : Result<void>();
}

// Whether the store has more of a name that something is mounted on than a layer that is written now would have.
Result<bool> Scanner::hides_known(const Name& name, const Entry& entry) {
  if (name.row->kind != EntryKind::directory || entry.kind != EntryKind::directory) return true;
  CAIRN_ASSIGN(const std::uint64_t header, header_hash_of(entry));
  if (header != name.row->header_hash) return true;
  return catalogue_.has_names_below(name.key);
}

Result<void> Scanner::whiteout(Name& name, Mark mark) {
  // In a directory that is made of several it only says what to leave out.
  if (is_merged(name)) return {};
  name.is_kept = true;
  const CatalogueRow* row = name.row;
  if (row != nullptr && row->kind == EntryKind::directory) covered_ = name.key + '\0';
  const bool is_same = row != nullptr && row->kind == EntryKind::whiteout && row->mark == mark;
  if (is_same && !puts_all()) return {};
  return writer_.whiteout(name.key, mark);
}

void Scanner::note_links(Name& name) {
  if (S_ISDIR(name.status.stx_mode) || name.status.stx_nlink < 2) return;
  name.is_shared = true;
  const auto first = first_names_.find(file_of(name));
  if (first != first_names_.end()) name.link_target = first->second;
}

// A file with a -wal or a -journal beside it: is it a database, and what it holds lies in both?
Result<void> Scanner::note_database(Name& name) {
  const Company& company = name.step.company;
  const bool may_be = S_ISREG(name.status.stx_mode) && (company.wal || company.journal) && !is_merged(name);
  if (!may_be || !tree_.reads_databases()) return {};
  if (company.journal) CAIRN_TRY(note_journal(name));
  if (!company.wal || name.wal) return {};
  CAIRN_ASSIGN(const auto wal, status_at(name.directory, name.step.name + "-wal"));
  if (!wal || !S_ISREG(wal->stx_mode)) return {};
  // One that was a database when both files were as they are now still is.
  bool is_database = name.row != nullptr && name.row->wal == stamp_of(*wal) && !company.journal;
  if (!is_database) {
    CAIRN_ASSIGN(is_database, sqlite::has_contents_in_wal(name.directory, name.step.name));
  }
  if (!is_database) return {};
  name.wal = stamp_of(*wal);
  stand_alone(name);
  walk_.leave_out_company();
  return {};
}

// What it holds is found by this name alone: as a link to an earlier one it would be without what lies beside it.
void Scanner::stand_alone(Name& name) {
  if (name.link_target.empty()) return;
  name.link_target.clear();
  name.is_shared = false;
}

// As long as its writer lives, what is committed is what is in the file, whenever that stands still.
Result<void> Scanner::note_journal(Name& name) {
  CAIRN_ASSIGN(const auto role, sqlite::role_of_journal(name.directory, name.step.name));
  if (role == sqlite::JournalRole::none) return {};
  stand_alone(name);
  walk_.leave_out_journal();
  if (role == sqlite::JournalRole::of_a_writer) return {};
  CAIRN_ASSIGN(const auto journal, status_at(name.directory, name.step.name + "-journal"));
  if (journal) name.wal = stamp_of(*journal);
  return {};
}

bool Scanner::is_unchanged(const Name& name) const {
  const CatalogueRow* row = name.row;
  if (row == nullptr || puts_all() || row->proof != Proof::good || row->contents == Contents::torn) return false;
  const bool is_same_file = row->stamp == stamp_of(name.status) && row->wal == name.wal;
  if (!is_same_file || row->link_target != name.link_target) return false;
  return levels_.empty() || !levels_.back().looks_at_all || !S_ISREG(name.status.stx_mode) || name.status.stx_size > 0;
}

Result<void> Scanner::examine(Name& name) {
  CAIRN_ASSIGN(auto look, look_at(name.directory, name.step.name, name.status, rules()));
  if (!look) return {};
  if (look->is_socket) {
    ++result_.skipped_sockets;
    return {};
  }
  Entry& entry = look->entry;
  entry.path = name.step.path;
  if (entry.kind == EntryKind::whiteout) {
    if (is_merged(name)) return {};
    name.is_shared = false;
    name.link_target.clear();
  }
  CAIRN_TRY(check_marks(name, *look));
  if (!name.link_target.empty()) entry = link_entry(std::move(entry), name.link_target);
  keep(name);

  bool is_put = puts_all() || name.row == nullptr;
  if (!is_put) {
    CAIRN_ASSIGN(is_put, has_changed(name, *look));
  }
  if (name.row != nullptr && name.row->kind == EntryKind::directory && entry.kind != EntryKind::directory) {
    covered_ = name.key + '\0';
  }
  if (is_put) CAIRN_TRY(put(name, *look));
  else CAIRN_TRY(note_stamp(name, *look));
  if (entry.kind != EntryKind::directory) return {};
  CatalogueRow now;
  now.mark = entry.mark;
  now.has_xattr_whiteouts = look->marks.has_xattr_whiteouts;
  now.is_redirected = look->marks.redirect.has_value();
  return enter(name, now, is_put);
}

// What only a lower directory can tell is refused before anything is written without it.
Result<void> Scanner::check_marks(const Name& name, const Look& look) const {
  if (layers_.has_lower()) return {};
  const bool is_file = look.entry.kind == EntryKind::file && look.marks.metacopy;
  if (is_file && name.status.stx_size > 0) return needs_lower("overlay.metacopy", "the contents of this file are");
  if (look.entry.kind == EntryKind::directory && look.marks.redirect) {
    return needs_lower("overlay.redirect", "a part of what is in this directory is");
  }
  return {};
}

// The names of a directory come next. `now`: its mark and what else it means for them.
Result<void> Scanner::enter(Name& name, const CatalogueRow& now, bool is_put) {
  const CatalogueRow* before = name.row != nullptr && name.row->kind == EntryKind::directory ? name.row : nullptr;
  const bool becomes_opaque = now.mark != Mark::none && (before == nullptr || before->mark == Mark::none);
  if (now.mark != Mark::none && (becomes_opaque || (is_put && puts_all()))) {
    CAIRN_TRY(writer_.opaque(name.key, now.mark));
  }
  Level level;
  level.puts_all = puts_all() || becomes_opaque;
  level.looks_at_all = before != nullptr && before->has_xattr_whiteouts != now.has_xattr_whiteouts;
  level.rules = {layers_.forms(), now.has_xattr_whiteouts};
  level.directory.key = name.key;
  level.directory.path = name.step.path;
  level.directory.kind = EntryKind::directory;
  level.directory.mark = now.mark;
  level.directory.has_xattr_whiteouts = now.has_xattr_whiteouts;
  level.directory.is_below = is_merged(name);

  const bool is_redirected = now.is_redirected;
  levels_.push_back(std::move(level));
  if (is_merged(name)) {
    const Places& all = walk_.directory();
    const Places from(all.begin() + name.step.place, all.end());
    CAIRN_ASSIGN(Places merged, layers_.merged_directory(from, name.step.name));
    return walk_.enter(std::move(merged));
  }
  if (!is_redirected) return walk_.enter();
  CAIRN_ASSIGN(Places merged, layers_.merged_directory(name.step.path));
  return walk_.enter(std::move(merged));
}

Result<void> Scanner::put(const Name& name, const Look& look) {
  if (look.entry.kind == EntryKind::whiteout) return writer_.whiteout(name.key, look.entry.mark);
  if (name.is_shared) written_shared_.insert(name.status.stx_ino);
  if (!layers_.forms().fuse && !has_said_marks_ && name.step.name.starts_with(kWhiteoutPrefix)) {
    has_said_marks_ = true;
    notice(fmt::format("{}: names that begin with .wh. are taken for files; if fuse-overlayfs has made them, name its "
                       "marks (--marks fuse-overlayfs)",
                       join_path(tree_.root(), name.step.path)));
  }
  return writer_.put(plan_row(name, look));
}

PlanRow Scanner::plan_row(const Name& name, const Look& look) const {
  PlanRow row;
  row.key = name.key;
  row.path = name.step.path;
  row.kind = look.entry.kind;
  row.mark = look.entry.kind == EntryKind::directory ? look.entry.mark : Mark::none;
  if (row.kind == EntryKind::hard_link) row.link_target = look.entry.link_target;
  row.size_bytes = look.entry.size_bytes;
  row.is_database = name.wal.has_value();
  row.is_below = is_merged(name);
  row.is_mount_point = name.layer == 0 && name.status.stx_mnt_id != mount_;
  row.has_xattr_whiteouts = row.kind == EntryKind::directory && look.marks.has_xattr_whiteouts;
  return row;
}

Result<bool> Scanner::has_changed(Name& name, const Look& look) {
  const CatalogueRow& row = *name.row;
  if (row.kind != look.entry.kind || row.contents == Contents::torn) return true;
  // How large a database is, and how old, is only known when it is open.
  if (!name.wal) {
    CAIRN_ASSIGN(const std::uint64_t header, header_hash_of(look.entry));
    if (header != row.header_hash) return true;
    if (look.entry.kind != EntryKind::file || look.entry.size_bytes == 0) return false;
  }
  CAIRN_ASSIGN(const auto open, tree_.open_entry(plan_row(name, look)));
  if (!open || !(open->stamp() == stamp_of(name.status)) || open->wal_stamp() != name.wal) return true;
  if (name.wal) {
    CAIRN_ASSIGN(const std::uint64_t header, header_hash_of(open->entry()));
    if (header != row.header_hash) return true;
  }
  CAIRN_ASSIGN(const bool same, has_same_contents(*open, row.content_hash));
  return !same;
}

Result<bool> Scanner::has_same_contents(OpenEntry& open, std::uint64_t content_hash) {
  ++result_.hashed_files;
  constexpr std::size_t kPiece = 256 << 10;
  Bytes piece(kPiece);
  segment::RunningHash hash;
  for (std::uint64_t at = 0;;) {
    if (options_.stop.stop_requested()) return Error(ErrorKind::cancelled, "the scan was stopped");
    CAIRN_ASSIGN(const std::size_t got, open.read_at(at, piece));
    if (got == 0) break;
    hash.add(ByteView(piece).first(got));
    at += got;
    result_.hashed_bytes += got;
  }
  CAIRN_ASSIGN(const bool still, open.stands_still());
  return still && hash.value() == content_hash;
}

Result<void> Scanner::note_stamp(const Name& name, const Look& look) {
  CatalogueRow now = *name.row;
  now.stamp = stamp_of(name.status);
  now.wal = name.wal;
  // From before the first look at anything: earlier than needed, and one clock for all.
  now.proof = proof_of(now.stamp, began_ms_);
  if (now.wal && proof_of(*now.wal, began_ms_) == Proof::racy) now.proof = Proof::racy;
  now.is_shared = name.is_shared;
  now.has_xattr_whiteouts = look.marks.has_xattr_whiteouts;
  now.is_redirected = look.entry.kind == EntryKind::directory && look.marks.redirect.has_value();
  const CatalogueRow& row = *name.row;
  const bool is_same = now.stamp == row.stamp && now.wal == row.wal && now.proof == row.proof &&
                       traits_of(now) == traits_of(row);
  return is_same ? Result<void>() : writer_.note_stamp(now);
}

// Of files of which a name is written, the names that have not changed themselves.
Result<void> Scanner::complete_links() {
  if (written_shared_.empty() || options_.goal != ScanGoal::increment) return {};
  CAIRN_ASSIGN(auto shared, catalogue_.database().prepare(
                                fmt::format("SELECT {} FROM layer_scan_row WHERE container = ?1 AND traits & {} != 0",
                                            kRowColumns, static_cast<int>(kShared))));
  CAIRN_TRY(shared.begin(catalogue_.container()));
  CatalogueRow row;
  for (;;) {
    CAIRN_ASSIGN(const bool more, shared.next());
    if (!more) return {};
    read_row(shared, row);
    if (!written_shared_.contains(row.stamp.inode)) continue;
    CAIRN_ASSIGN(const bool planned, writer_.has(row.key));
    if (planned) continue;
    const std::string path = path_of_sort_key(row.key);
    CAIRN_ASSIGN(const auto parent, open_directory(layers_.upper().fd(), std::string(parent_of(path))));
    if (!parent) continue;
    CAIRN_ASSIGN(const auto status, status_at(parent->get(), std::string(name_of(path))));
    if (!status || status->stx_ino != row.stamp.inode) continue;
    PlanRow again;
    again.key = row.key;
    again.path = path;
    again.kind = row.kind;
    again.link_target = row.link_target;
    again.size_bytes = row.kind == EntryKind::file ? row.stamp.size_bytes : 0;
    again.is_database = row.wal.has_value();
    CAIRN_TRY(writer_.put(again));
  }
}

Result<void> Scanner::advance() {
  CAIRN_ASSIGN(has_row_, rows_.next());
  if (has_row_) read_row(rows_, row_);
  return {};
}

// Names that the store has, and that were not met on the way here.
Result<void> Scanner::pass_rows_before(std::string_view key) {
  while (has_row_ && row_.key < key && !ends_early()) {
    if (covered_.empty() || !row_.key.starts_with(covered_)) CAIRN_TRY(vanished());
    CAIRN_TRY(advance());
  }
  return {};
}

Result<void> Scanner::vanished() {
  if (row_.kind == EntryKind::directory) covered_ = row_.key + '\0';
  if (puts_all()) return {};  // it is hidden by what is written, or the layer begins anew
  if (row_.kind != EntryKind::whiteout) return writer_.whiteout(row_.key, Mark::none);
  return writer_.forget(levels_.back().directory, name_of(path_of_sort_key(row_.key)));
}

void Scanner::notice(const std::string& text) const {
  if (options_.on_notice) options_.on_notice(text);
}

Result<ScanResult> scan(Tree& tree, Catalogue& catalogue, Clock& clock, const ScanOptions& options) {
  return Scanner(tree, catalogue, clock, options).run();
}

}  // namespace cairn::layer
