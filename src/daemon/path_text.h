// Paths as text: nothing is looked at.
#pragma once

#include <algorithm>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::daemon {

inline std::string without_slash(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

inline std::string normal(const std::string& path) {
  return without_slash(std::filesystem::path(path).lexically_normal().string());
}

inline std::string name_in(const std::string& directory, const std::string& name) {
  return directory == "/" ? "/" + name : directory + "/" + name;
}

inline std::vector<std::string> components_of(std::string_view path) {
  std::vector<std::string> components;
  while (true) {
    const std::size_t slash = std::min(path.find('/'), path.size());
    components.emplace_back(path.substr(0, slash));
    if (slash == path.size()) return components;
    path.remove_prefix(slash + 1);
  }
}

}  // namespace cairn::daemon
