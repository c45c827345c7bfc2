// The names that a tree opens. For tree.cc.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "layer/layers.h"
#include "layer/tree.h"
#include "sqlite/database_copy.h"

namespace cairn::layer {

// What is known of a name once it was looked at.
struct Opened {
  std::string name;  // the whole path, for messages
  Place place;       // the directory that has it
  std::shared_ptr<const FileDescriptor> merged;  // the same in the merged view, of a database; null: not seen
  Entry entry;
  OverlayMarks marks;
  Stamp stamp;
  std::optional<Stamp> wal;
  std::int64_t looked_at_ms = 0;
  bool is_shared = false;
};

// Without contents.
std::unique_ptr<OpenEntry> make_open_name(Opened opened);
// With those of `file`. is_elsewhere: of a metacopy, whose name and contents are two files.
std::unique_ptr<OpenEntry> make_open_file(Opened opened, FileDescriptor file, bool is_elsewhere);

// With the pages of a database, which `copy` reads.
std::unique_ptr<OpenEntry> make_open_database(Opened opened, std::unique_ptr<sqlite::DatabaseCopy> copy);

// Where a file has none of its bytes on the disk, at most kMaxHoles.
Result<std::vector<Hole>> holes_of(int file, std::uint64_t size_bytes);

}  // namespace cairn::layer
