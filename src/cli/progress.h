// A bar on standard error for long work, when a person is watching: nothing when it is no terminal.
#pragma once

#include <cstdint>
#include <string>

#include "base/mutex.h"

namespace cairn::cli {

class ProgressBar {
 public:
  enum class Unit { bytes, pages, objects };
  ProgressBar(std::string label, Unit unit);
  ~ProgressBar() { clear(); }
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  // Any thread; drawn a few times a second at most. Total 0: not known, nothing is drawn.
  void show(std::uint64_t done, std::uint64_t total) EXCLUDES(mutex_);
  // Takes the bar off the screen, before anything else is printed.
  void clear() EXCLUDES(mutex_);

 private:
  std::string text(std::uint64_t done, std::uint64_t total) const;

  const std::string label_;
  const Unit unit_;
  const bool on_terminal_;
  Mutex mutex_;
  std::int64_t drawn_ms_ GUARDED_BY(mutex_) = 0;
  bool visible_ GUARDED_BY(mutex_) = false;
};

}  // namespace cairn::cli
