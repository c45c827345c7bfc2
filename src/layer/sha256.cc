// OpenSSL's own block function through SHA256_CTX, the one interface of it that shows the state. It is marked as
// deprecated since 3.0 (EVP hides the state, and so can save nothing), and is still there in 3.5.
#define OPENSSL_SUPPRESS_DEPRECATED

#include "layer/sha256.h"

#include <fmt/format.h>
#include <openssl/sha.h>

#include <algorithm>
#include <cstring>

#include "base/bytes.h"

namespace cairn::layer {
namespace {

constexpr std::size_t kBlockBytes = 64;
constexpr std::size_t kSavedBytes = 8 * 4 + kBlockBytes + 8;

// OpenSSL's context of what is in the words; bytes that fill no block are kept on this side.
SHA256_CTX context_of(const std::array<std::uint32_t, 8>& words, std::uint64_t whole_bytes) {
  SHA256_CTX context;
  SHA256_Init(&context);
  std::copy(words.begin(), words.end(), context.h);
  context.Nl = static_cast<std::uint32_t>(whole_bytes << 3);
  context.Nh = static_cast<std::uint32_t>(whole_bytes >> 29);
  return context;
}

}  // namespace

Sha256::Sha256() {
  SHA256_CTX context;
  SHA256_Init(&context);
  std::copy(std::begin(context.h), std::end(context.h), words_.begin());
}

void Sha256::add(ByteView bytes) {
  const std::size_t filled = size_bytes_ % kBlockBytes;
  SHA256_CTX context = context_of(words_, size_bytes_ - filled);
  SHA256_Update(&context, rest_.data(), filled);
  SHA256_Update(&context, bytes.data(), bytes.size());
  size_bytes_ += bytes.size();
  std::copy(std::begin(context.h), std::end(context.h), words_.begin());
  std::memcpy(rest_.data(), context.data, size_bytes_ % kBlockBytes);
}

Sha256::Digest Sha256::value() const {
  const std::size_t filled = size_bytes_ % kBlockBytes;
  SHA256_CTX context = context_of(words_, size_bytes_ - filled);
  SHA256_Update(&context, rest_.data(), filled);
  Digest digest;
  SHA256_Final(digest.data(), &context);
  return digest;
}

Bytes Sha256::save() const {
  Bytes saved(kSavedBytes);
  std::byte* at = saved.data();
  for (const std::uint32_t word : words_) {
    store_le(at, word);
    at += sizeof word;
  }
  std::memcpy(at, rest_.data(), size_bytes_ % kBlockBytes);
  store_le(at + kBlockBytes, size_bytes_);
  return saved;
}

Result<Sha256> Sha256::restore(ByteView saved) {
  if (saved.size() != kSavedBytes) return Error(ErrorKind::corrupt, "a saved state of SHA-256 has the wrong size");
  Sha256 hash;
  const std::byte* at = saved.data();
  for (std::uint32_t& word : hash.words_) {
    word = load_le<std::uint32_t>(at);
    at += sizeof word;
  }
  std::memcpy(hash.rest_.data(), at, kBlockBytes);
  hash.size_bytes_ = load_le<std::uint64_t>(at + kBlockBytes);
  return hash;
}

std::string hex_of(const Sha256::Digest& digest) {
  std::string text;
  for (const std::uint8_t byte : digest) fmt::format_to(std::back_inserter(text), "{:02x}", byte);
  return text;
}

}  // namespace cairn::layer
