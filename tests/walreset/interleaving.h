// Forces the interleaving behind SQLite's WAL-reset bug (docs/sqlite.md, "The WAL-reset bug"): between a checkpointer's
// look at the WAL-index header and its work, somebody else's commit restarts the WAL.
//
// The checkpointer's database file is opened through a VFS of our own over "unix". A checkpointer whose copy of the
// header was out of date calls xUnfetch of that file right after it has read the new one, and that is where the commit
// is made, by another connection, in the same thread. No luck with threads is needed.
#pragma once

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <functional>
#include <list>
#include <string>
#include <utility>

#include "connection.h"

namespace cairn::walreset {

// The VFS. Everything is done by "unix"; only xUnfetch of database files opened here comes by before it goes there.
class WindowVfs {
 public:
  WindowVfs() : unix_(sqlite3_vfs_find("unix")), vfs_(*unix_) {
    vfs_.zName = "cairn-window";
    vfs_.pNext = nullptr;
    vfs_.xOpen = open;
    vfs_.pAppData = this;
    EXPECT_EQ(sqlite3_vfs_register(&vfs_, 0), SQLITE_OK);
  }
  ~WindowVfs() { sqlite3_vfs_unregister(&vfs_); }
  WindowVfs(const WindowVfs&) = delete;
  WindowVfs& operator=(const WindowVfs&) = delete;

  const char* name() const { return vfs_.zName; }
  // Runs `work` at the next xUnfetch, once. Nothing: takes it back.
  void arm(std::function<void()> work) { work_ = std::move(work); }

 private:
  // What stands in sqlite3_file::pMethods leads back here: the methods are the first member.
  struct Methods {
    sqlite3_io_methods io;
    WindowVfs* vfs;
    const sqlite3_io_methods* real;
  };

  static int open(sqlite3_vfs* vfs, const char* name, sqlite3_file* file, int flags, int* out_flags) {
    auto* self = static_cast<WindowVfs*>(vfs->pAppData);
    const int result = self->unix_->xOpen(self->unix_, name, file, flags, out_flags);
    if (result == SQLITE_OK && (flags & SQLITE_OPEN_MAIN_DB) != 0 && file->pMethods->iVersion >= 3) {
      Methods& methods = self->methods_.emplace_back(Methods{*file->pMethods, self, file->pMethods});
      methods.io.iVersion = 3;
      methods.io.xUnfetch = unfetch;
      file->pMethods = &methods.io;
    }
    return result;
  }

  static int unfetch(sqlite3_file* file, sqlite3_int64 offset, void* page) {
    const auto* methods = reinterpret_cast<const Methods*>(file->pMethods);
    if (auto work = std::exchange(methods->vfs->work_, nullptr)) work();
    return methods->real->xUnfetch(file, offset, page);
  }

  sqlite3_vfs* unix_;
  sqlite3_vfs vfs_;
  std::list<Methods> methods_;  // one a file: their addresses must last
  std::function<void()> work_;
};

// What somebody who stands by (Cairn, or nobody) does at the moments of the interleaving. Empty: nothing.
struct Hooks {
  std::function<void()> begin;          // the database is there, in WAL mode, with all its rows
  std::function<void()> after_commit;   // a commit of the application has returned; not called inside the window
  std::function<void()> before_window;  // the last moment before the checkpointer begins whose header goes stale
  std::function<void()> in_window;      // the commit is made, the checkpointer has not gone on yet
  std::function<void()> after_window;   // that checkpointer is done
  std::function<void()> end;            // before the books are compared: let go of everything
};

struct Outcome {
  int committed = 0;           // updates for which the application's COMMIT returned success
  int lost = 0;                // of them, what a fresh connection does not find
  int windows = 0;             // checkpointers that were caught between look and work
  int restarts_in_window = 0;  // of these, the times the commit restarted the WAL
  std::string integrity;       // PRAGMA integrity_check, afterwards
};

inline void call(const std::function<void()>& hook) {
  if (hook) hook();
}

inline constexpr int kRounds = 20;
inline constexpr int kUpdates = 20;  // in a round

// An application updates rows, each in a transaction and on a page of its own, so that what is lost stays lost. In each
// round a foreign checkpointer runs twice: once to backfill all there is, and once more; into that one falls the first
// commit of the round, which may restart the WAL. The checkpointer then takes the new WAL for the old one: it notes as
// backfilled as many frames as the old one had, and so many frames of the new one nobody will ever look at.
inline Outcome run_interleaving(const std::string& database_path, const Hooks& hooks) {
  WindowVfs window;
  Outcome outcome;
  Connection application(database_path);
  application.run("PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; PRAGMA synchronous=OFF");
  application.run("CREATE TABLE t(id INTEGER PRIMARY KEY, value INTEGER, filler BLOB)");
  application.run("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<" +
                  std::to_string(kRounds * kUpdates) + ") INSERT INTO t SELECT i, 0, zeroblob(3000) FROM n");
  application.checkpoint(SQLITE_CHECKPOINT_TRUNCATE);
  application.count_frames();
  Connection checkpointer(database_path, window.name());
  checkpointer.column("SELECT count(*) FROM t");  // a connection that has read nothing does not checkpoint
  application.run("UPDATE t SET value = -1 WHERE id <= " + std::to_string(kUpdates));  // news for the checkpointer
  call(hooks.begin);

  const auto update = [&] {
    ++outcome.committed;
    application.run("UPDATE t SET value = 1 WHERE id = " + std::to_string(outcome.committed));
  };
  for (int round = 0; round < kRounds; ++round) {
    checkpointer.checkpoint(SQLITE_CHECKPOINT_PASSIVE);
    call(hooks.before_window);
    window.arm([&] {
      const int frames_before = application.frames();
      update();
      ++outcome.windows;
      if (application.frames() <= frames_before) ++outcome.restarts_in_window;
      call(hooks.in_window);
    });
    checkpointer.checkpoint(SQLITE_CHECKPOINT_PASSIVE);
    window.arm(nullptr);
    call(hooks.after_window);
    call(hooks.after_commit);
    for (int i = 1; i < kUpdates; ++i) {
      update();
      call(hooks.after_commit);
    }
  }
  call(hooks.end);
  Connection fresh(database_path);
  const int found = fresh.number("SELECT count(*) FROM t WHERE value = 1");
  outcome.lost = outcome.committed - found;
  outcome.integrity = fresh.column("PRAGMA integrity_check").at(0);
  return outcome;
}

}  // namespace cairn::walreset
