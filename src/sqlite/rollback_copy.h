// One committed state of a database in rollback mode (journal_mode DELETE, TRUNCATE, PERSIST), page by page. Nothing is
// written to the database or its journal, and no file in its directory is made or removed.
//
// Under a SHARED lock nobody writes to the file. It is what was committed last, except for one case: a writer has died
// in the middle, and what he has changed is to be rolled back (his journal is "hot"). SQLite would do that in the file;
// here the pages of the journal are put over those of the file. The lock is let go of once that is known, so writers
// are not kept out: whether one has come shows in the stamps. Or it is kept.
//
// It is the stamps alone that prove anything. Locks of a container are not seen from outside of its overlay mount, and
// what file and journal are at any one moment can be rolled back, whether their writer lives or not.
//
// Not seen are transactions without a journal (journal_mode MEMORY, OFF) of who keeps his lock, or whose locks are not
// seen.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "cairn/error.h"
#include "sqlite/database_copy.h"

namespace cairn::sqlite {

// What a file `name`-journal is to the database `name`.
enum class JournalRole {
  none,         // there is no such database, or the journal is not hot (emptied, or zeroed): a file like any other
  of_a_writer,  // of one that is at work: it belongs to no state that is committed
  left_behind,  // the writer has died: what is committed is the file and the journal together
};
Result<JournalRole> role_of_journal(int directory, const std::string& name);

struct RollbackReading {
  // keep: writers wait with their commits, until the copy goes, but no longer than longest_lock_ms, whether or not it
  // is read. What is read later is a state if it still stands still.
  enum class Lock { let_go, keep } lock = Lock::let_go;
  std::int64_t wait_ms = 2'000;          // for a writer to be done
  std::int64_t longest_lock_ms = 10'000;
  // Who keeps his lock (locking_mode=EXCLUSIVE) and has no journal has no transaction open when he has not written for
  // so long.
  std::int64_t at_rest_ms = 1'000;
};

class RollbackCopy : public DatabaseCopy {
 public:
  // Null: it is no database in rollback mode. Where no committed state is to be had (a transaction that has written to
  // the file does not end, or is one of several databases) it is a copy of whatever is there, and never stands still.
  // `directory` stays open as long as the copy.
  static Result<std::unique_ptr<RollbackCopy>> open(int directory, const std::string& name,
                                                    const RollbackReading& how);

  virtual const FileStamp& stamp() const = 0;  // of the file
  // Of a journal that was left behind, and that is in it.
  virtual const std::optional<FileStamp>& journal() const = 0;
};

}  // namespace cairn::sqlite
