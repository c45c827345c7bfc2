// An application under one seed: a few connections to one database that do everything an application may do, in small
// steps, each ended by telling the model what is committed now.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "support/application.h"
#include "support/page_model.h"

namespace cairn::testing {

struct WorkloadOptions {
  std::uint32_t page_size = 4096;
  int auto_vacuum = 0;                    // 0 none, 1 full, 2 incremental
  std::uint64_t max_size_bytes = 400'000; // above it, mostly deletes
};
WorkloadOptions random_options(SeededRandom& random);

// A checkpoint of a mode that waits for others.
struct WaitingCheckpoint {
  int waits = 0;                    // calls of its busy handler
  bool gave_up = false;
  bool application_in_the_way = false;  // another connection of the application is reading or writing
};

class Workload {
 public:
  Workload(std::string path, WorkloadOptions options, SeededRandom& random, PageModel& model);

  // What happens while a checkpoint of the application waits, and how often at most.
  void set_on_wait(std::function<void()> on_wait, int max_waits);
  std::function<void(const WaitingCheckpoint&)> on_waiting_checkpoint;  // may be empty

  const std::string& path() const { return path_; }

  // Makes the database, in WAL mode or (mostly not) in rollback mode.
  void create();
  // One random thing that may happen beside a replicator; says what it was.
  std::string step();
  // A small transaction, whatever else is going on.
  std::string write_something() { return write_rows(any_idle()); }
  // The same, of what only happens while none is running: changes of journal mode and page size, a WAL that is lost.
  std::string step_while_alone();
  // The file is replaced by another database, or deleted and (after reappear()) made anew. Beside a replicator or not.
  std::string replace_file();
  std::string delete_file();
  void reappear();
  bool is_deleted() const { return deleted_; }

  void end_transactions();
  void close_all();   // the application ends well
  void kill();        // its process dies
  // Frames that are backfilled were synced before. To be called before the last connection (a replicator's, it may be)
  // goes without a checkpoint: SQLite forgets it when it recovers, the disk does not.
  void note_what_is_synced();
  // Nobody has the database open any more. Takes what a power loss may take from a WAL of synchronous=NORMAL.
  std::string lose_power();

  // Reads what is committed through a connection of its own that leaves no trace, and tells the model.
  void observe();
  // What is committed, without telling.
  Bytes image();
  bool in_wal_mode();
  std::string integrity_check();  // "ok", or SQLite's first complaint
  // Of the WAL-index, as it lies on disk: for the message of a failure only. Closing the file gives up every lock that
  // this process has on it (fcntl(2)).
  std::string describe_index() const;
  std::uint64_t commits() const { return commits_; }

 private:
  Application& open_connection();
  Application& any_idle();
  std::unique_ptr<Application> connect();
  void committed(Application& application);
  bool others_in_the_way(const Application& application) const;
  std::string table();
  std::uint64_t below(std::uint64_t n) { return random_.below(n); }
  std::string change_sql();   // one random INSERT, UPDATE or DELETE
  std::string insert_sql(std::uint64_t rows, std::uint64_t row_bytes);

  std::string write_rows(Application& application);
  std::string write_much(Application& application);
  std::string roll_back(Application& application);
  std::string use_savepoints(Application& application);
  std::string change_schema(Application& application);
  std::string vacuum(Application& application);
  std::string set_pragma(Application& application);
  std::string begin(Application& application, Occupation occupation);
  std::string go_on_or_end(Application& application);
  std::string checkpoint(Application& application);
  std::string come_and_go();

  std::string change_page_size();
  std::string change_journal_mode();
  std::string lose_wal();
  void make_another_database(const std::string& path);
  void remove_files();

  std::string path_;
  WorkloadOptions options_;
  SeededRandom& random_;
  PageModel& model_;
  std::function<void()> on_wait_;
  int max_waits_ = 0;
  std::vector<std::unique_ptr<Application>> applications_;
  bool deleted_ = false;
  std::uint64_t commits_ = 0;
  int names_ = 0;
  std::uint64_t synced_salts_ = 0;  // of the WAL that synced_frames_ belong to
  std::uint32_t synced_frames_ = 0;
};

}  // namespace cairn::testing
