// All changes of a twin in one file, so that another one goes on where it was killed. A change that was not written
// whole has not happened.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/files.h"
#include "twin/state.h"

namespace cairn::twin {

class Journal {
 public:
  // Calls `replay` for what <directory>/journal holds; makes both when they are not there.
  static Result<std::unique_ptr<Journal>> open(const std::string& directory,
                                               const std::function<void(const Change&)>& replay);
  Result<void> append(const Change& change);

 private:
  Journal(std::unique_ptr<File> file, std::uint64_t end) : file_(std::move(file)), end_(end) {}

  std::unique_ptr<File> file_;
  std::uint64_t end_;
};

}  // namespace cairn::twin
