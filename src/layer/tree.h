// A container's upper directory, opened for reading: names become entries (entry.h), overlayfs' marks understood, and
// contents are read from wherever they really are: the file itself, the file below that a metacopy stands for, or the
// consistent copy of a database. Nothing outside the root (and the lower directories) is ever opened, no link followed.
//
// Errors: not_found (no such directory), unsupported (a mark that needs a lower directory which was not given; marks
// that this process may not see; no /proc), invalid (a name or value that no layer can carry), denied, io, busy (a
// database, for too long).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "cairn/error.h"
#include "cairn/layer.h"
#include "layer/catalogue.h"
#include "layer/entry.h"
#include "layer/overlay.h"
#include "layer/plan.h"

namespace cairn::layer {

class Layers;

struct TreeOptions {
  std::vector<std::string> lower;  // topmost first
  LayerMarks marks = LayerMarks::automatic;
  LayerDatabases databases = LayerDatabases::through_sqlite;
  LayerHiddenAttributes hidden_attributes = LayerHiddenAttributes::refuse;
  std::int64_t transaction_wait_ms = 2'000;  // for the end of one that has written to its database
};

// One name, open. It keeps what it was when it was opened; stands_still() says whether that is still so.
class OpenEntry {
 public:
  virtual ~OpenEntry() = default;

  // Complete, with holes. Of a row planned as a hard link that is none any more: a file of its own.
  virtual const Entry& entry() const = 0;
  virtual bool has_contents() const = 0;  // a file, and not an empty one
  // Where it lies now, for messages.
  virtual const std::string& name() const = 0;

  // Contents [offset, offset + n): fills `into`, or less: the file has become shorter than entry().size_bytes. In any
  // order, but a database is read fast only from the beginning on.
  virtual Result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> into) = 0;
  // Asked after the last read: the file is what it was when it was opened, so what was read is one state of it. A
  // database's copy always is.
  virtual Result<bool> stands_still() = 0;

  // For Plan::record.
  virtual const Stamp& stamp() const = 0;  // from before anything was read
  virtual const std::optional<Stamp>& wal_stamp() const = 0;
  virtual std::int64_t looked_at_ms() const = 0;
  virtual bool is_shared() const = 0;  // more than one name leads to it
  virtual const OverlayMarks& marks() const = 0;
};

class Tree {
 public:
  // `clock` outlives it: wall_ms is compared with the ctimes of files.
  static Result<std::unique_ptr<Tree>> open(const std::string& root, const TreeOptions& options, Clock& clock);
  virtual ~Tree() = default;

  virtual const std::string& root() const = 0;
  virtual const Layers& layers() const = 0;
  virtual bool reads_databases() const = 0;  // through SQLite

  // What the plan has for this row, as it is now. Null: it is not there any more, or is something else by now (another
  // kind, no longer opaque): leave it out (Plan::record_left_out); the next sync finds out. Whiteouts and opaque
  // entries are opened, too: they have no contents.
  // `attempt`: from the second one on, writers of a database in rollback mode are kept out while it is read.
  virtual Result<std::unique_ptr<OpenEntry>> open_entry(const PlanRow& row, int attempt = 1) = 0;
};

}  // namespace cairn::layer
