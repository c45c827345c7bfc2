// Checksums and hashes of the S3 protocol. The CRCs are written out here, table by table: this is a second reading of
// their definitions, which the client's own is judged by.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "cairn/store.h"

namespace cairn::twin {

enum class Algorithm { crc32, crc32c, crc64nvme, sha1, sha256 };
inline constexpr Algorithm kAlgorithms[] = {Algorithm::crc32, Algorithm::crc32c, Algorithm::crc64nvme,
                                            Algorithm::sha1, Algorithm::sha256};

std::string_view header_of(Algorithm algorithm);   // "x-amz-checksum-crc32"
std::string_view name_of(Algorithm algorithm);     // "CRC32", as in x-amz-sdk-checksum-algorithm
std::string_view element_of(Algorithm algorithm);  // "ChecksumCRC32", as in XML
std::optional<Algorithm> algorithm_named(std::string_view name);  // "CRC32"
std::size_t size_of(Algorithm algorithm);  // of a value, in bytes
constexpr bool is_crc(Algorithm algorithm) { return algorithm <= Algorithm::crc64nvme; }

// Raw bytes, most significant first.
std::string checksum(Algorithm algorithm, ByteView bytes);
// The CRC of a and b together, from those of each.
std::string combine_crcs(Algorithm algorithm, std::string_view a, std::string_view b, std::uint64_t b_size_bytes);
std::string md5(ByteView bytes);
std::string sha256(ByteView bytes);
std::string hmac_sha256(std::string_view key, std::string_view message);

// Of bytes that come in pieces.
class RunningChecksum {
 public:
  explicit RunningChecksum(Algorithm algorithm);
  ~RunningChecksum();
  RunningChecksum(const RunningChecksum&) = delete;
  RunningChecksum& operator=(const RunningChecksum&) = delete;

  void add(ByteView bytes);
  std::string finish();

 private:
  Algorithm algorithm_;
  std::uint64_t crc_ = 0;
  void* sha_ = nullptr;
};

}  // namespace cairn::twin
