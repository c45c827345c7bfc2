// What finding asks of file systems, on threads that may hang: with copies of all they need, and of one device at a
// time. Whatever leads to another device, a mount point or a link, is given back to be asked by itself, so that a mount
// that is dead holds up nothing else.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "daemon/mounts.h"
#include "daemon/patient.h"

namespace cairn::daemon {

// The components of a pattern or a path.
std::vector<std::string> steps_of(std::string_view pattern);
// Whether a walk would find a file whose path consists of these names, links aside.
bool matches(std::span<const std::string> components, std::span<const std::string> names);

// To something that is to be looked at.
struct Way {
  std::string path;        // its name
  std::string real;        // the same, without the links that were followed to here
  std::string below = {};  // of what a pattern means: its path below the pattern's directory
  std::size_t index = 0;   // and the component that its entries are to match, or past the last
  bool operator==(const Way&) const = default;
};

// Both have the ways that lead to another device in `elsewhere`, and in `failed` by their names those that a disk or
// mount failed to show.
struct Names {
  std::map<std::string, std::string> answers;
  std::vector<Way> elsewhere;
  std::set<std::string> failed;
};
struct Walked {
  struct File {
    std::string below, identity;  // "": it may not be looked at
  };
  std::map<std::string, File> files;
  std::set<std::string> directories, denied;  // the second: may not be read
  std::vector<Way> elsewhere;
  std::set<std::string> failed;

  void merge(Walked&& more);
};

// The search for the files that a pattern means, in all that lies on one device. It may take longer than anybody waits
// for it: what it has found is there meanwhile.
class WalkUnderway {
 public:
  WalkUnderway(std::string question, std::vector<std::string> components, std::vector<Way> ways);

  // What goes away meanwhile is passed over: the next one finds it.
  void run(const MountTable& mounts, const std::string& device, Steps& steps) EXCLUDES(mutex_);

  // Any thread.
  bool is_for(const WalkUnderway& other) const {
    return question_ == other.question_ && components_ == other.components_ && ways_ == other.ways_;
  }
  const std::vector<Way>& ways() const { return ways_; }
  Walked found() const EXCLUDES(mutex_);  // so far
  bool is_over() const { return is_over_; }
  // Not when it has got nowhere for so long.
  bool gets_on(std::int64_t patience_ms) const;

 private:
  const std::string question_;
  const std::vector<std::string> components_;
  const std::vector<Way> ways_;
  std::atomic<bool> is_over_ = false;
  std::atomic<std::int64_t> moved_ms_;
  mutable Mutex mutex_;
  Walked found_ GUARDED_BY(mutex_);
};

// What is told of a name. Nothing: the disk fails.
using Look = std::function<std::optional<std::string>(const std::string& name, const std::string& real)>;
std::optional<std::string> identity_of(const std::string& name, const std::string& real);
std::optional<std::string> place_at(const std::string& name, const std::string& real);  // as URL

Names look_at_names(const std::vector<Way>& ways, const Look& look, const MountTable& mounts, const std::string& device,
                    Steps& steps);

}  // namespace cairn::daemon
