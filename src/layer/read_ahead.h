// What the directories of a tree hold, found out ahead of a walk over it: by threads beside it, and by the walk itself
// whenever it would have to wait. Nearly all that a scan costs is the system's answers, so it takes as many cores as it
// gets; what is asked, and how, is the same as without.
//
// What was found out ahead is from after the scan's begin and from before its turn: a change since then is one that the
// next scan finds, as one right behind its turn is.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/executor.h"
#include "base/os.h"
#include "cairn/error.h"

namespace cairn::layer {

struct Listing {
  std::shared_ptr<const FileDescriptor> directory;  // null: it is none any more
  std::vector<std::string> names;                   // sorted by their bytes
  std::vector<std::optional<struct statx>> statuses;  // of each, or none for very many; nothing: it has gone since
};

// One thread asks, for directories in the order of sort_key(); some may be left out.
class ReadAhead {
 public:
  // `mount`: directories on another one are not looked into. The executor outlives this.
  ReadAhead(Executor& executor, std::uint64_t mount);
  ~ReadAhead();  // waits for what is under way
  ReadAhead(const ReadAhead&) = delete;
  ReadAhead& operator=(const ReadAhead&) = delete;

  // Whether a directory lies so high up that it may be asked for: each on the way down is held open.
  static bool reaches(std::string_view key);
  // The directory `name` in `parent`, whose path has the sort key `key`. An empty name: `parent` itself.
  Result<Listing> take(const std::string& key, std::shared_ptr<const FileDescriptor> parent, const std::string& name);

 private:
  struct Shared;
  std::shared_ptr<Shared> shared_;
};

}  // namespace cairn::layer
