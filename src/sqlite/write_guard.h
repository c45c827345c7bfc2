// A checkpoint under an index that was cut (base/cut_mappings.h) in the middle of it must not go on: half of what it
// reads there is zeros. SQLite does not know, so its writes to the database and the WAL fail from that moment on. What
// it had written before is what a checkpointer that dies leaves: nobody has been told of it.
#pragma once

#include <cstdint>

struct sqlite3;

namespace cairn::sqlite {

// Of a connection that has read.
void guard_writes(sqlite3* connection);

// As long as one lives, guarded connections write nothing in this thread once any -shm file has been cut.
class NoWritesAfterACut {
 public:
  NoWritesAfterACut();
  ~NoWritesAfterACut();
  NoWritesAfterACut(const NoWritesAfterACut&) = delete;
  NoWritesAfterACut& operator=(const NoWritesAfterACut&) = delete;

  bool has_refused() const;

 private:
  const std::uint64_t count_before_;
};

}  // namespace cairn::sqlite
