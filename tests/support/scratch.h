// A folder of a test's own, in memory where the machine has such a place, gone with the object.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

#include "base/check.h"

namespace cairn::testing {

class Scratch {
 public:
  explicit Scratch(const std::string& name) {
    const char* const kMemory = "/dev/shm";
    const bool in_memory = std::filesystem::is_directory(kMemory);
    std::string path = (in_memory ? std::string(kMemory) : std::filesystem::temp_directory_path().string());
    path += "/cairn-" + name + "-XXXXXX";
    CAIRN_CHECK(::mkdtemp(path.data()) != nullptr);
    path_ = path;
  }
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

}  // namespace cairn::testing
