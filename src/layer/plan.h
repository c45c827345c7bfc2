// What a sync has to write, as rows of a table: filled by one scan, read by the archive in order, and kept until the
// sync is published, so that an interrupted one goes on with it. What was really written is recorded row by row; after
// publication take_over() makes it the catalogue's knowledge, in one transaction.
//
//   CAIRN_ASSIGN(auto plan, Plan::load(catalogue));             // null: there is none
//   CAIRN_ASSIGN(auto rows, plan->rows());                      // or rows(key of the last row that is done)
//   for (;;) {
//     CAIRN_ASSIGN(const auto row, rows->next());               // nothing: the end
//     CAIRN_ASSIGN(auto open, tree.open_entry(*row));
//     if (!open) { plan->record_left_out(*row); continue; }
//     ... write_tar_header(open->entry()), contents ...
//     plan->record(*row, *open, content_hash, Contents::whole);
//   }
//   ... publish ...
//   plan->take_over(object_key);
//
// Records survive a crash with the transaction that they are made in: make them in the one that notes a part in the
// journal (rows behind the last whole part are then read, written and recorded once more), or by themselves.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cairn/error.h"
#include "layer/catalogue.h"
#include "layer/entry.h"
#include "layer/manifest.h"
#include "layer/object.h"

namespace cairn::layer {

class OpenEntry;

enum class PlanAction : std::uint8_t {
  put,       // the entry, with its contents if it is a file that has some
  whiteout,
  opaque,    // right behind the put of its directory
};

struct PlanRow {
  // Its place: rows ascend by the bytes of their keys. sort_key(path); of an opaque row that and a NUL.
  std::string key;
  std::string path;
  PlanAction action = PlanAction::put;
  EntryKind kind = EntryKind::file;    // as the scan saw it
  Mark mark = Mark::none;              // of a whiteout or an opaque row
  std::string link_target;             // of a hard link: a path that comes earlier in the plan
  std::uint64_t size_bytes = 0;        // of its contents, as the scan saw it: for progress
  std::vector<std::string> forgotten;  // Entry::forgotten of a directory
  bool is_database = false;            // what it holds lies in a -wal or a journal, too
  bool has_xattr_whiteouts = false;    // of a directory, as the scan saw it: what its empty files mean
  bool is_mount_point = false;         // of a directory: something is mounted on it, which is not looked into
  bool is_below = false;               // it, or what it stands for, lies in a lower directory
};

class PlanRows {
 public:
  virtual ~PlanRows() = default;
  virtual Result<std::optional<PlanRow>> next() = 0;  // nothing: the end
};

struct PlanHead {
  SyncKind kind = SyncKind::full;
  std::int64_t scan_began_ms = 0;      // becomes the time of the sync
  std::uint64_t rows = 0;              // entries that are planned
  std::uint64_t total_bytes = 0;       // of their contents
  std::uint64_t skipped_sockets = 0;
};

class Plan {
 public:
  // Null: the container has no plan.
  static Result<std::unique_ptr<Plan>> load(Catalogue& catalogue);
  ~Plan();

  const PlanHead& head() const;

  // The rows whose key is greater than `after`; nothing: from the beginning ("" is the key of the root). A hard link
  // whose target was left out is given as a file.
  Result<std::unique_ptr<PlanRows>> rows(std::optional<std::string> after = std::nullopt);

  // Again for the same row: the last one counts.
  Result<void> record(const PlanRow& row, const OpenEntry& open, std::uint64_t content_hash, Contents contents);
  Result<void> record_left_out(const PlanRow& row);
  // Of a big file, any number at a time: `first` counts from 0. Those at or behind `first` that were recorded before
  // are forgotten.
  Result<void> record_blocks(const PlanRow& row, std::uint64_t first, std::span<const Block> blocks);
  // The blocks of a file recorded so far: for going on in the middle of it.
  Result<std::vector<Block>> recorded_blocks(const PlanRow& row);

  // The sync is published, its layer is `object_key`. One transaction of its own; afterwards there is no plan. Rows
  // that were not recorded count as left out.
  Result<void> take_over(std::string_view object_key);
  // The same without the transaction, inside one of the caller's.
  Result<void> take_over_within(std::string_view object_key);
  // There is no plan any more, and the catalogue is what it was.
  Result<void> drop();

 private:
  struct State;
  explicit Plan(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace cairn::layer
