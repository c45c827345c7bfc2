#include "twin/digests.h"

#include <array>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/bytes.h"
#include "base/check.h"

namespace cairn::twin {
namespace {

// Reflected CRCs, eight bytes a step: tables[k][b] is what byte b does k bytes further on.
struct CrcTables {
  std::array<std::array<std::uint64_t, 256>, 8> of{};

  explicit constexpr CrcTables(std::uint64_t reflected_polynomial) {
    for (std::uint64_t byte = 0; byte < 256; ++byte) {
      std::uint64_t value = byte;
      for (int bit = 0; bit < 8; ++bit) value = (value & 1) != 0 ? (value >> 1) ^ reflected_polynomial : value >> 1;
      of[0][byte] = value;
    }
    for (std::size_t k = 1; k < 8; ++k) {
      for (std::size_t byte = 0; byte < 256; ++byte) {
        of[k][byte] = (of[k - 1][byte] >> 8) ^ of[0][of[k - 1][byte] & 255];
      }
    }
  }
};

const CrcTables& tables_of(Algorithm algorithm) {
  static const CrcTables kCrc32(0xEDB88320u), kCrc32c(0x82F63B78u), kCrc64Nvme(0x9A6C9329AC4BC9B5u);
  return algorithm == Algorithm::crc32 ? kCrc32 : algorithm == Algorithm::crc32c ? kCrc32c : kCrc64Nvme;
}

std::uint64_t all_ones(Algorithm algorithm) {
  return algorithm == Algorithm::crc64nvme ? ~std::uint64_t{0} : 0xFFFFFFFFu;
}

std::uint64_t crc_add(Algorithm algorithm, std::uint64_t state, ByteView bytes) {
  const auto& table = tables_of(algorithm).of;
  const std::byte* p = bytes.data();
  std::size_t left = bytes.size();
  for (; left >= 8; left -= 8, p += 8) {
    const std::uint64_t v = state ^ load_le<std::uint64_t>(p);
    state = table[7][v & 255] ^ table[6][(v >> 8) & 255] ^ table[5][(v >> 16) & 255] ^ table[4][(v >> 24) & 255] ^
            table[3][(v >> 32) & 255] ^ table[2][(v >> 40) & 255] ^ table[1][(v >> 48) & 255] ^ table[0][v >> 56];
  }
  for (; left > 0; --left, ++p) state = (state >> 8) ^ table[0][(state ^ static_cast<std::uint64_t>(*p)) & 255];
  return state;
}

std::string digest_by(const EVP_MD* kind, ByteView bytes) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> out{};
  unsigned length = 0;
  CAIRN_CHECK(::EVP_Digest(bytes.data(), bytes.size(), out.data(), &length, kind, nullptr) == 1);
  return {reinterpret_cast<const char*>(out.data()), length};
}

// A zero bit after the message is a linear map of the CRC: its image of each bit. Squared, it is two zero bits.
using BitMap = std::array<std::uint64_t, 64>;

std::uint64_t image(const BitMap& map, std::uint64_t value) {
  std::uint64_t out = 0;
  for (std::size_t bit = 0; value != 0; ++bit, value >>= 1) out ^= (value & 1) != 0 ? map[bit] : 0;
  return out;
}

BitMap squared(const BitMap& map) {
  BitMap out{};
  for (std::size_t bit = 0; bit < 64; ++bit) out[bit] = image(map, map[bit]);
  return out;
}

std::string big_endian(std::uint64_t value, std::size_t size_bytes) {
  std::string out;
  for (std::size_t i = size_bytes; i > 0; --i) out += static_cast<char>(value >> (8 * (i - 1)) & 255);
  return out;
}

std::uint64_t number_of(std::string_view big_endian_bytes) {
  std::uint64_t value = 0;
  for (const char c : big_endian_bytes) value = value << 8 | static_cast<unsigned char>(c);
  return value;
}

struct Names {
  std::string_view header, name, element;
  std::size_t size_bytes;
};
const Names& names_of(Algorithm algorithm) {
  static constexpr std::array<Names, 5> kNames{{
      {"x-amz-checksum-crc32", "CRC32", "ChecksumCRC32", 4},
      {"x-amz-checksum-crc32c", "CRC32C", "ChecksumCRC32C", 4},
      {"x-amz-checksum-crc64nvme", "CRC64NVME", "ChecksumCRC64NVME", 8},
      {"x-amz-checksum-sha1", "SHA1", "ChecksumSHA1", 20},
      {"x-amz-checksum-sha256", "SHA256", "ChecksumSHA256", 32},
  }};
  return kNames[static_cast<std::size_t>(algorithm)];
}

}  // namespace

std::string_view header_of(Algorithm algorithm) { return names_of(algorithm).header; }
std::string_view name_of(Algorithm algorithm) { return names_of(algorithm).name; }
std::string_view element_of(Algorithm algorithm) { return names_of(algorithm).element; }
std::size_t size_of(Algorithm algorithm) { return names_of(algorithm).size_bytes; }

std::optional<Algorithm> algorithm_named(std::string_view name) {
  for (const Algorithm algorithm : kAlgorithms) {
    if (name_of(algorithm) == name) return algorithm;
  }
  return std::nullopt;
}

std::string md5(ByteView bytes) { return digest_by(::EVP_md5(), bytes); }
std::string sha256(ByteView bytes) { return digest_by(::EVP_sha256(), bytes); }

std::string hmac_sha256(std::string_view key, std::string_view message) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> out{};
  unsigned length = 0;
  CAIRN_CHECK(::HMAC(::EVP_sha256(), key.data(), static_cast<int>(key.size()),
                     reinterpret_cast<const unsigned char*>(message.data()), message.size(), out.data(),
                     &length) != nullptr);
  return {reinterpret_cast<const char*>(out.data()), length};
}

std::string checksum(Algorithm algorithm, ByteView bytes) {
  RunningChecksum running(algorithm);
  running.add(bytes);
  return running.finish();
}

std::string combine_crcs(Algorithm algorithm, std::string_view a, std::string_view b, std::uint64_t b_size_bytes) {
  BitMap zeros{};  // one zero bit
  zeros[0] = tables_of(algorithm).of[0][128];  // the polynomial
  for (std::size_t bit = 1; bit < 64; ++bit) zeros[bit] = std::uint64_t{1} << (bit - 1);
  for (int i = 0; i < 3; ++i) zeros = squared(zeros);
  std::uint64_t value = number_of(a);
  for (; b_size_bytes > 0; b_size_bytes >>= 1, zeros = squared(zeros)) {
    if ((b_size_bytes & 1) != 0) value = image(zeros, value);
  }
  return big_endian(value ^ number_of(b), size_of(algorithm));
}

RunningChecksum::RunningChecksum(Algorithm algorithm) : algorithm_(algorithm), crc_(all_ones(algorithm)) {
  if (is_crc(algorithm)) return;
  EVP_MD_CTX* const context = ::EVP_MD_CTX_new();
  const EVP_MD* const kind = algorithm == Algorithm::sha1 ? ::EVP_sha1() : ::EVP_sha256();
  CAIRN_CHECK(context != nullptr && ::EVP_DigestInit_ex(context, kind, nullptr) == 1);
  sha_ = context;
}

RunningChecksum::~RunningChecksum() { ::EVP_MD_CTX_free(static_cast<EVP_MD_CTX*>(sha_)); }

void RunningChecksum::add(ByteView bytes) {
  if (is_crc(algorithm_)) {
    crc_ = crc_add(algorithm_, crc_, bytes);
  } else {
    CAIRN_CHECK(::EVP_DigestUpdate(static_cast<EVP_MD_CTX*>(sha_), bytes.data(), bytes.size()) == 1);
  }
}

std::string RunningChecksum::finish() {
  if (is_crc(algorithm_)) return big_endian(crc_ ^ all_ones(algorithm_), size_of(algorithm_));
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned length = 0;
  CAIRN_CHECK(::EVP_DigestFinal_ex(static_cast<EVP_MD_CTX*>(sha_), digest.data(), &length) == 1);
  return {reinterpret_cast<const char*>(digest.data()), length};
}

}  // namespace cairn::twin
