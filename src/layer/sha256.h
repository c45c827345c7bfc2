// SHA-256 whose state between two bytes can be kept: a tar of many gigabytes is hashed across a crash without reading
// its beginning again.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "cairn/error.h"
#include "cairn/store.h"

namespace cairn::layer {

class Sha256 {
 public:
  using Digest = std::array<std::uint8_t, 32>;

  Sha256();
  void add(ByteView bytes);
  Digest value() const;  // of all so far; more may be added
  std::uint64_t size_bytes() const { return size_bytes_; }

  // All of the state, and back. corrupt: it is not that.
  Bytes save() const;
  static Result<Sha256> restore(ByteView saved);

 private:
  std::array<std::uint32_t, 8> words_{};
  std::array<std::byte, 64> rest_{};  // size_bytes_ % 64 bytes that fill no block yet
  std::uint64_t size_bytes_ = 0;
};

std::string hex_of(const Sha256::Digest& digest);

}  // namespace cairn::layer
