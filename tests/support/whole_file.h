// A file's bytes at once. Tests are compiled without optimising: character by character, 60 MB would take seconds.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>

namespace cairn::testing {

// Empty too when the file cannot be read.
inline std::string whole_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary | std::ios::ate);
  if (!in) return {};
  std::string text(static_cast<std::size_t>(in.tellg()), '\0');
  in.seekg(0);
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(in.gcount()));
  return text;
}

}  // namespace cairn::testing
