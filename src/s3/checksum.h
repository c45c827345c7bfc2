// The hashes that S3 asks for, and their spelling in headers.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "cairn/error.h"
#include "cairn/store.h"

namespace cairn::s3 {

// CRC-64/NVME, as x-amz-checksum-crc64nvme. Begin with 0, go on with what came out.
std::uint64_t crc64nvme(std::uint64_t crc, ByteView bytes);
// CRC-32C (Castagnoli), as x-amz-checksum-crc32c.
std::uint32_t crc32c(std::uint32_t crc, ByteView bytes);

// The same, eight bytes a step from tables: what crc64nvme() does where the processor has no carry-less
// multiplication.
std::uint64_t crc64nvme_by_tables(std::uint64_t crc, ByteView bytes);

using Sha256Digest = std::array<std::byte, 32>;
using Md5Digest = std::array<std::byte, 16>;

Sha256Digest sha256(ByteView bytes);
Md5Digest md5(ByteView bytes);
Sha256Digest hmac_sha256(ByteView key, std::string_view text);

std::string hex(ByteView bytes);  // small letters
std::string base64(ByteView bytes);
std::string base64_be(std::uint64_t number);  // of its big-endian bytes, as checksums stand in headers
std::string base64_be(std::uint32_t number);
Result<Bytes> from_base64(std::string_view text);  // invalid: it is not

// Of all of a source, read in pieces.
Result<std::string> sha256_hex(const Source& body);
Result<std::string> md5_hex(const Source& body);
Result<std::string> crc64nvme_base64(const Source& body);
Result<std::string> crc32c_base64(const Source& body);

// SHA-256 of nothing, in hexadecimal digits.
inline constexpr std::string_view kEmptySha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

}  // namespace cairn::s3
