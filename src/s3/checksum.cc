// CRC64NVME is what guards a body that is not signed, so it must cost next to nothing beside the wire.
//
// A CRC is the remainder of the message, taken as a polynomial over GF(2), divided by another one. "Folding" keeps a
// few 128-bit lanes that are congruent to all that was read: a lane that stands D bits before the end of the message
// equals itself times x^D modulo P, and x^D modulo P has only 64 bits, so two carry-less multiplications (of the
// lane's halves) move it on by D. Four lanes hide the multiplier's latency. What remains, 16 bytes, goes through the
// tables, which also take the tail: so there is no Barrett reduction here, and one kind of constant only.
//
// The bits of this CRC are reflected: the first bit of the message is the lowest one of its first byte. A product of
// two reflected numbers comes out one bit too low, hence x^(D-1).
#include "s3/checksum.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace cairn::s3 {

namespace {

constexpr std::uint64_t kNvme = 0x9A6C9329AC4BC9B5;  // reflected
constexpr std::uint32_t kCastagnoli = 0x82F63B78;

template <class T>
using Tables = std::array<std::array<T, 256>, 8>;

// Table k holds the CRC of a byte followed by k zero bytes.
template <class T>
constexpr Tables<T> make_tables(T polynomial) {
  Tables<T> tables{};
  for (std::size_t byte = 0; byte < 256; ++byte) {
    T crc = static_cast<T>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1) != 0 ? (crc >> 1) ^ polynomial : crc >> 1;
    tables[0][byte] = crc;
  }
  for (std::size_t k = 1; k < 8; ++k) {
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const T before = tables[k - 1][byte];
      tables[k][byte] = (before >> 8) ^ tables[0][before & 0xff];
    }
  }
  return tables;
}

constexpr Tables<std::uint64_t> kNvmeTables = make_tables<std::uint64_t>(kNvme);
constexpr Tables<std::uint32_t> kCastagnoliTables = make_tables<std::uint32_t>(kCastagnoli);

// The register of a CRC after some more bytes; without the inversions at both ends.
template <class T>
T advance(const Tables<T>& tables, T crc, ByteView bytes) {
  while (bytes.size() >= 8) {
    const std::uint64_t word = load_le<std::uint64_t>(bytes.data()) ^ crc;
    T next = 0;
    for (unsigned k = 0; k < 8; ++k) next ^= tables[7 - k][(word >> (8 * k)) & 0xff];
    crc = next;
    bytes = bytes.subspan(8);
  }
  for (const std::byte byte : bytes) crc = (crc >> 8) ^ tables[0][(crc ^ static_cast<T>(byte)) & 0xff];
  return crc;
}

#if defined(__x86_64__)

// x^n modulo P, reflected: the highest bit is x^0.
constexpr std::uint64_t power_of_x(int n) {
  std::uint64_t value = std::uint64_t{1} << 63;
  for (int i = 0; i < n; ++i) value = (value & 1) != 0 ? (value >> 1) ^ kNvme : value >> 1;
  return value;
}

constexpr std::size_t kLaneBytes = 16, kLanes = 4, kBlockBytes = kLaneBytes * kLanes;

// For moving a lane on by `Bits`: its low half comes first in the message, and so stands 64 bits further from the
// end.
template <int Bits>
__attribute__((target("sse2,pclmul"))) inline __m128i moved(__m128i lane, __m128i next) {
  const __m128i factors =
      _mm_set_epi64x(static_cast<long long>(power_of_x(Bits - 1)), static_cast<long long>(power_of_x(Bits + 64 - 1)));
  const __m128i low = _mm_clmulepi64_si128(lane, factors, 0x00);
  const __m128i high = _mm_clmulepi64_si128(lane, factors, 0x11);
  return _mm_xor_si128(_mm_xor_si128(low, high), next);
}

__attribute__((target("sse2,pclmul"))) inline __m128i loaded(const std::byte* from) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
}

// At least one block.
__attribute__((target("sse2,pclmul"))) std::uint64_t advance_by_folding(std::uint64_t crc, ByteView bytes) {
  const std::byte* at = bytes.data();
  std::size_t left = bytes.size();
  __m128i lanes[kLanes];
  for (std::size_t i = 0; i < kLanes; ++i) lanes[i] = loaded(at + i * kLaneBytes);
  lanes[0] = _mm_xor_si128(lanes[0], _mm_set_epi64x(0, static_cast<long long>(crc)));
  for (at += kBlockBytes, left -= kBlockBytes; left >= kBlockBytes; at += kBlockBytes, left -= kBlockBytes) {
    for (std::size_t i = 0; i < kLanes; ++i) {
      lanes[i] = moved<8 * kBlockBytes>(lanes[i], loaded(at + i * kLaneBytes));
    }
  }
  __m128i all = moved<8 * kLaneBytes>(lanes[0], lanes[1]);
  all = moved<8 * kLaneBytes>(all, lanes[2]);
  all = moved<8 * kLaneBytes>(all, lanes[3]);
  std::array<std::byte, kLaneBytes> rest;
  std::memcpy(rest.data(), &all, sizeof all);
  return advance(kNvmeTables, advance<std::uint64_t>(kNvmeTables, 0, rest), ByteView(at, left));
}

bool can_fold() {
  static const bool can = __builtin_cpu_supports("pclmul") != 0;
  return can;
}

#endif

// OpenSSL looks for what it is asked for each time anew, if it is not fetched: that takes as long as a small digest.
const EVP_MD* sha256_kind() {
  static const EVP_MD* const kind = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  return kind;
}

// The same, each thread for itself.
class Hmac {
 public:
  Hmac() {
    const std::unique_ptr<EVP_MAC, decltype(&EVP_MAC_free)> kind(EVP_MAC_fetch(nullptr, "HMAC", nullptr),
                                                                 &EVP_MAC_free);
    CAIRN_CHECK(kind != nullptr);
    context_.reset(EVP_MAC_CTX_new(kind.get()));
    CAIRN_CHECK(context_ != nullptr);
    char digest[] = "SHA256";
    const OSSL_PARAM is_of[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                                OSSL_PARAM_construct_end()};
    CAIRN_CHECK(EVP_MAC_CTX_set_params(context_.get(), is_of) == 1);
  }
  Sha256Digest of(ByteView key, std::string_view text) {
    CAIRN_CHECK(!key.empty());  // of none OpenSSL takes the last one
    Sha256Digest digest{};
    std::size_t size = 0;
    EVP_MAC_CTX* const context = context_.get();
    const bool is_done =
        EVP_MAC_init(context, reinterpret_cast<const unsigned char*>(key.data()), key.size(), nullptr) == 1 &&
        EVP_MAC_update(context, reinterpret_cast<const unsigned char*>(text.data()), text.size()) == 1 &&
        EVP_MAC_final(context, reinterpret_cast<unsigned char*>(digest.data()), &size, digest.size()) == 1;
    CAIRN_CHECK(is_done && size == digest.size());
    return digest;
  }

 private:
  std::unique_ptr<EVP_MAC_CTX, decltype(&EVP_MAC_CTX_free)> context_{nullptr, &EVP_MAC_CTX_free};
};

Bytes digest_of(const EVP_MD* kind, ByteView bytes) {
  Bytes out(EVP_MAX_MD_SIZE);
  unsigned size = 0;
  CAIRN_CHECK(EVP_Digest(bytes.data(), bytes.size(), reinterpret_cast<unsigned char*>(out.data()), &size, kind,
                         nullptr) == 1);
  out.resize(size);
  return out;
}

template <class Digest>
Digest fixed(const Bytes& bytes) {
  Digest digest{};
  CAIRN_CHECK(bytes.size() == digest.size());
  std::copy(bytes.begin(), bytes.end(), digest.begin());
  return digest;
}

// Calls `take` with one piece of a source after the other.
template <class Take>
Result<void> each_piece(const Source& body, const Take& take) {
  constexpr std::uint64_t kPieceBytes = 256 << 10;
  const std::uint64_t size = body.size_bytes();
  Bytes piece(std::min(size, kPieceBytes));
  for (std::uint64_t offset = 0; offset < size; offset += piece.size()) {
    piece.resize(std::min<std::uint64_t>(piece.size(), size - offset));
    CAIRN_TRY(body.read_at(offset, piece));
    take(ByteView(piece));
  }
  return {};
}

Result<std::string> digest_hex(const EVP_MD* kind, const Source& body) {
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  CAIRN_CHECK(context && EVP_DigestInit_ex(context.get(), kind, nullptr) == 1);
  CAIRN_TRY(each_piece(
      body, [&](ByteView piece) { CAIRN_CHECK(EVP_DigestUpdate(context.get(), piece.data(), piece.size()) == 1); }));
  Bytes digest(EVP_MAX_MD_SIZE);
  unsigned size = 0;
  CAIRN_CHECK(EVP_DigestFinal_ex(context.get(), reinterpret_cast<unsigned char*>(digest.data()), &size) == 1);
  digest.resize(size);
  return hex(digest);
}

}  // namespace

std::uint64_t crc64nvme_by_tables(std::uint64_t crc, ByteView bytes) { return ~advance(kNvmeTables, ~crc, bytes); }

std::uint64_t crc64nvme(std::uint64_t crc, ByteView bytes) {
#if defined(__x86_64__)
  if (bytes.size() >= 2 * kBlockBytes && can_fold()) return ~advance_by_folding(~crc, bytes);
#endif
  return crc64nvme_by_tables(crc, bytes);
}

std::uint32_t crc32c(std::uint32_t crc, ByteView bytes) { return ~advance(kCastagnoliTables, ~crc, bytes); }

Sha256Digest sha256(ByteView bytes) { return fixed<Sha256Digest>(digest_of(sha256_kind(), bytes)); }

Md5Digest md5(ByteView bytes) { return fixed<Md5Digest>(digest_of(EVP_md5(), bytes)); }

Sha256Digest hmac_sha256(ByteView key, std::string_view text) {
  thread_local Hmac hmac;
  return hmac.of(key, text);
}

std::string hex(ByteView bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const std::byte byte : bytes) {
    out.push_back(kDigits[std::to_integer<unsigned>(byte) >> 4]);
    out.push_back(kDigits[std::to_integer<unsigned>(byte) & 15]);
  }
  return out;
}

std::string base64(ByteView bytes) {
  std::string out((bytes.size() + 2) / 3 * 4 + 1, '\0');  // and the NUL that it writes
  const int size =
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                      reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
  out.resize(static_cast<std::size_t>(size));
  return out;
}

std::string base64_be(std::uint64_t number) {
  std::array<std::byte, 8> bytes;
  store_le(bytes.data(), __builtin_bswap64(number));
  return base64(bytes);
}

std::string base64_be(std::uint32_t number) {
  std::array<std::byte, 4> bytes;
  store_be32(bytes.data(), number);
  return base64(bytes);
}

Result<Bytes> from_base64(std::string_view text) {
  const Error wrong(ErrorKind::invalid, "that is not base64");
  if (text.size() % 4 != 0 || text.size() > (1 << 20)) return wrong;
  Bytes out(text.size() / 4 * 3);
  const int size =
      EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                      reinterpret_cast<const unsigned char*>(text.data()), static_cast<int>(text.size()));
  if (size < 0 || static_cast<std::size_t>(size) != out.size()) return wrong;
  for (std::size_t i = 0; i < 2 && i < text.size() && text[text.size() - 1 - i] == '='; ++i) out.pop_back();
  return out;
}

Result<std::string> sha256_hex(const Source& body) { return digest_hex(sha256_kind(), body); }

Result<std::string> md5_hex(const Source& body) { return digest_hex(EVP_md5(), body); }

Result<std::string> crc64nvme_base64(const Source& body) {
  std::uint64_t crc = 0;
  CAIRN_TRY(each_piece(body, [&](ByteView piece) { crc = crc64nvme(crc, piece); }));
  return base64_be(crc);
}

Result<std::string> crc32c_base64(const Source& body) {
  std::uint32_t crc = 0;
  CAIRN_TRY(each_piece(body, [&](ByteView piece) { crc = crc32c(crc, piece); }));
  return base64_be(crc);
}

}  // namespace cairn::s3
