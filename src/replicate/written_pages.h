// Which pages were written, and where the newest version of each is: in a frame of the WAL or, once that was
// backfilled, in the database file. It is sorted where it lies: of a transaction of any size only a part is in memory,
// the rest in a scratch file, as runs that are each ascending and merged when they are read.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/ids.h"
#include "base/scratch_list.h"

namespace cairn::replicate {

struct FrameRef {
  PageNo page;
  FrameNo frame;  // 0: in the database file
  auto operator<=>(const FrameRef&) const = default;
};

class WrittenPages {
 public:
  explicit WrittenPages(ScratchSpace scratch = {}) : scratch_(std::move(scratch)) {}

  // Newer than all before it. io: there is no room for the scratch file; it is worth nothing then.
  Result<void> add(const FrameRef& ref);
  // After the last add(): pages past `page_count` are left out.
  void finish(std::uint32_t page_count);

  // Of what is finished:
  // What `newer` has is newer than all that is here. Of few nothing is written: others may be waiting for a lock that
  // the caller has. io: `newer` has a file, and there is no room for one here; nothing has been added.
  Result<void> add(WrittenPages newer);
  // Keeps no more in memory than it may. io: no room for the scratch file; all is as before.
  Result<void> make_room();
  // Every frame has been backfilled.
  void all_backfilled();
  // Every page once, ascending, with its newest version. io: the scratch file does not give them back; then what was
  // taken is worth nothing, either.
  Result<void> each(const std::function<Result<void>(const FrameRef&)>& take) const;
  // At least as many as there are: some may be in several runs.
  std::uint64_t size() const;
  std::size_t in_memory() const { return recent_.size(); }

 private:
  struct Run {
    std::shared_ptr<const File> file;
    std::uint64_t begin = 0, count = 0;  // entries of the file
    std::uint64_t hash = 0;              // of them
    PageNo last{~0u};                    // pages past that are left out
    bool is_backfilled = false;
  };
  class RunReader;
  void sort_recent();
  Result<void> write_run(std::span<const FrameRef> refs);

  ScratchSpace scratch_;
  std::shared_ptr<File> file_;
  std::uint64_t file_end_ = 0;
  std::vector<Run> runs_;         // the later ones newer; some may lie in files of others
  std::vector<FrameRef> recent_;  // newer than all runs; ascending once it is finished
};

}  // namespace cairn::replicate
