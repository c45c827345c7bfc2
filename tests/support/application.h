// An application's connection to its database, as a simulation needs it: every result code is looked at, a killed
// process can be played, and a busy handler runs whatever the simulation wants to happen while the application waits.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

struct sqlite3;

namespace cairn::testing {

enum class SqlResult { done, busy };

// What an application is doing between two steps.
enum class Occupation { idle, reading, writing };

class Application {
 public:
  using Noise = std::function<std::uint64_t()>;

  // Opens (and makes, when absent) the database. `noise` feeds the SQL function noise(n), which returns n bytes.
  Application(const std::string& path, Noise noise);
  ~Application();  // as when its process is killed: no checkpoint, the WAL stays
  Application(const Application&) = delete;
  Application& operator=(const Application&) = delete;

  // Runs SQL. `busy` when somebody is in the way (the transaction, if any, is rolled back); any other failure is a
  // broken database and ends the test with a message.
  SqlResult run(const std::string& sql);
  std::int64_t number(const std::string& sql);  // first column of the first row; -1: busy
  std::string text(const std::string& sql);     // the same as text; "": busy

  struct CheckpointResult {
    SqlResult outcome = SqlResult::done;
    int wal_frames = -1, backfilled = -1;
    int waits = 0;  // times the busy handler was called
  };
  // `mode` is SQLITE_CHECKPOINT_*. While it waits, `on_wait` runs, at most `max_waits` times.
  CheckpointResult checkpoint(int mode, int max_waits, const std::function<void()>& on_wait);

  // Like a program that ends well: the last one checkpoints and removes the WAL.
  void close();

  sqlite3* handle() const { return handle_; }
  bool in_transaction() const;
  Occupation occupation = Occupation::idle;

 private:
  std::string path_;
  Noise noise_;
  sqlite3* handle_ = nullptr;
};

}  // namespace cairn::testing
