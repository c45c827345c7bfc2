// A Source over a file that lives as long as somebody reads it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <utility>

#include "base/files.h"

namespace cairn {

class OpenFileSource final : public Source {
 public:
  OpenFileSource(std::unique_ptr<File> file, std::uint64_t size_bytes)
      : file_(std::move(file)), source_(*file_, size_bytes) {}
  std::uint64_t size_bytes() const override { return source_.size_bytes(); }
  Result<void> read_at(std::uint64_t offset, std::span<std::byte> into) const override {
    return source_.read_at(offset, into);
  }

 private:
  const std::unique_ptr<File> file_;
  const FileSource source_;
};

}  // namespace cairn
