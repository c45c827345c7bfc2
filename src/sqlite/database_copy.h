// One committed state of a database in WAL mode, page by page as it would be in the file alone, read while others go
// on writing. Nothing is written to the database or its WAL, and no file in its directory is made or removed.
//
// Somebody is seen to be connected: it is read under a hold (database.h), which does to the application what a long
// reader does: its WAL cannot be restarted meanwhile. So read it in one go, and let go of it.
// Nobody is seen (a -wal that was left behind; or who uses it does so through an overlay mount, whose locks do not show
// in the upper directory): the frames of the WAL are found as SQLite's recovery would find them. Then only
// stands_still() tells that what was read is one state. So it is with one who lets nobody in for some seconds, or whose
// database SQLite cannot make sense of: of what is copied then stands_still() is never true.
//
// Errors: io, denied; busy and corrupt only beside a connection of this process. One thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "cairn/error.h"
#include "cairn/store.h"
#include "sqlite/file_stamp.h"

namespace cairn::sqlite {

// Whether `name` in the open directory is a database whose contents lie in its file and in its -wal: in WAL mode, and
// with a -wal that belongs to it. Of those in rollback mode: rollback_copy.h.
Result<bool> has_contents_in_wal(int directory, const std::string& name);

class DatabaseCopy {
 public:
  // Null: it is no such database (any more). `directory` stays open as long as the copy. `merged`: the same directory
  // in the overlay mount that it is a part of the upper directory of, where those are seen who use it there; -1: none.
  static Result<std::unique_ptr<DatabaseCopy>> open(int directory, const std::string& name, int merged = -1);
  virtual ~DatabaseCopy() = default;

  virtual std::uint64_t size_bytes() const = 0;
  // Fills `into`, which lies within the size.
  virtual Result<void> read_at(std::uint64_t offset, std::span<std::byte> into) = 0;
  // Everything read so far is of one state.
  virtual Result<bool> stands_still() = 0;
};

}  // namespace cairn::sqlite
