// Entries for tests: one of every kind, with every field that it can have.
#pragma once

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "layer/tar.h"

namespace cairn::layer::testing {

inline struct stat status_of(const std::string& path) {
  struct stat status{};
  EXPECT_EQ(::lstat(path.c_str(), &status), 0) << path;
  return status;
}

// Bytes that do not compress.
inline std::string noise(std::size_t size_bytes, std::uint64_t seed) { return SeededRandom(seed).bytes(size_bytes); }

inline Entry entry_of(EntryKind kind, std::string path) {
  Entry entry;
  entry.kind = kind;
  entry.path = std::move(path);
  entry.mode = kind == EntryKind::directory ? 0755 : 0644;
  entry.mtime_s = 1'700'000'000;
  return entry;
}

inline Entry file_of(std::string path, std::uint64_t size_bytes) {
  Entry entry = entry_of(EntryKind::file, std::move(path));
  entry.size_bytes = size_bytes;
  return entry;
}

inline Entry link_of(EntryKind kind, std::string path, std::string target) {
  Entry entry = entry_of(kind, std::move(path));
  entry.link_target = std::move(target);
  return entry;
}

// An archive: entries, each with as many bytes as it has contents (the letters of the alphabet), in the order given.
inline Bytes archive_of(const std::vector<Entry>& entries) {
  Bytes tar;
  for (const Entry& entry : entries) {
    const Bytes header = write_tar_header(entry).value();
    tar.insert(tar.end(), header.begin(), header.end());
    for (std::uint64_t i = 0; i < entry.size_bytes; ++i) tar.push_back(static_cast<std::byte>('a' + i % 26));
    tar.resize(tar.size() + tar_padding(entry.size_bytes));
  }
  tar.resize(tar.size() + kTarEndBytes);
  return tar;
}

}  // namespace cairn::layer::testing
