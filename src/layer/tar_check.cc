#include "layer/tar_check.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>

#include "base/check.h"
#include "layer/tar.h"

namespace cairn::layer {

namespace {

Error differs(const Entry& entry, const char* what) {
  return Error(ErrorKind::corrupt, fmt::format("'{}': {}", entry.path, what));
}

bool all_zeros(ByteView bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte byte) { return byte == std::byte{0}; });
}

}  // namespace

void TarCheck::Free::operator()(evp_md_ctx_st* context) const { EVP_MD_CTX_free(context); }

TarCheck::TarCheck(std::unique_ptr<EntryCursor> index) : index_(std::move(index)), sha_(EVP_MD_CTX_new()) {
  CAIRN_CHECK(sha_ && EVP_DigestInit_ex(sha_.get(), EVP_sha256(), nullptr) == 1);
}

TarCheck::~TarCheck() = default;

Result<void> TarCheck::feed(ByteView bytes) {
  CAIRN_CHECK(EVP_DigestUpdate(sha_.get(), bytes.data(), bytes.size()) == 1);
  Bytes joined;
  if (!begun_.empty()) {
    joined.swap(begun_);
    joined.insert(joined.end(), bytes.begin(), bytes.end());
    bytes = joined;
  }
  while (!bytes.empty()) {
    CAIRN_ASSIGN(const std::size_t taken, take(bytes));
    if (taken == 0) break;  // a header that goes on in the next piece
    position_ += taken;
    bytes = bytes.subspan(taken);
  }
  begun_.assign(bytes.begin(), bytes.end());
  return {};
}

Result<std::size_t> TarCheck::take(ByteView bytes) {
  switch (at_) {
    case At::header: return take_header(bytes);
    case At::contents: {
      const std::size_t taken = std::min<std::uint64_t>(bytes.size(), left_);
      hash_.add(bytes.first(taken));
      left_ -= taken;
      if (left_ == 0) CAIRN_TRY(end_contents());
      return taken;
    }
    case At::padding: {
      CAIRN_ASSIGN(const std::size_t taken, take_zeros(bytes, left_));
      if (left_ == 0) at_ = At::header;
      return taken;
    }
    case At::end: return take_zeros(bytes, left_);
  }
  return Error(ErrorKind::corrupt, "the tar cannot be understood");
}

Result<std::size_t> TarCheck::take_zeros(ByteView bytes, std::uint64_t& left) {
  const std::size_t taken = std::min<std::uint64_t>(bytes.size(), left);
  if (taken == 0) return Error(ErrorKind::corrupt, "the tar goes on behind its end");
  if (!all_zeros(bytes.first(taken))) return Error(ErrorKind::corrupt, "the tar has other bytes than zeros as filling");
  left -= taken;
  return taken;
}

Result<std::size_t> TarCheck::take_header(ByteView bytes) {
  if (bytes.size() < kTarBlockBytes) return 0;
  if (all_zeros(bytes.first(kTarBlockBytes))) {
    at_ = At::end;
    left_ = kTarEndBytes;
    return take_zeros(bytes, left_);
  }
  CAIRN_ASSIGN(const std::optional<TarHeader> header, parse_tar_header(bytes));
  if (!header) {
    if (bytes.size() > kMaxTarHeaderBytes) return Error(ErrorKind::corrupt, "the tar has a header without an end");
    return 0;
  }
  position_ += header->header_bytes;
  const Result<void> begun = begin_entry(header->entry);
  position_ -= header->header_bytes;
  CAIRN_TRY(begun);
  return header->header_bytes;
}

Result<void> TarCheck::begin_entry(const Entry& entry) {
  CAIRN_ASSIGN(std::optional<IndexedEntry> indexed, index_->next());
  if (!indexed) return differs(entry, "it is in the tar, and the index ends before it");
  if (indexed->entry != entry) return differs(entry, "the index says something else of it than the tar");
  const bool has_contents = entry.kind == EntryKind::file && entry.size_bytes > 0;
  if (has_contents && indexed->data_offset != position_) return differs(entry, "the index has its contents elsewhere");
  ++entries_;
  entry_ = std::move(*indexed);
  if (entry_.contents == Contents::torn) ++torn_files_;
  if (!has_contents) return {};
  hash_ = segment::RunningHash();
  left_ = entry.size_bytes;
  at_ = At::contents;
  return {};
}

Result<void> TarCheck::end_contents() {
  if (hash_.value() != entry_.content_hash) {
    return differs(entry_.entry, "its contents do not have the hash of the index");
  }
  left_ = tar_padding(entry_.entry.size_bytes);
  at_ = left_ > 0 ? At::padding : At::header;
  return {};
}

Result<std::string> TarCheck::finish() {
  if (at_ != At::end || left_ > 0) return Error(ErrorKind::corrupt, "the tar ends too early");
  CAIRN_ASSIGN(const std::optional<IndexedEntry> more, index_->next());
  if (more) return differs(more->entry, "the index has it, and the tar does not");
  std::array<unsigned char, 32> digest{};
  CAIRN_CHECK(EVP_DigestFinal_ex(sha_.get(), digest.data(), nullptr) == 1);
  std::string hex;
  for (const unsigned char byte : digest) hex += fmt::format("{:02x}", byte);
  return hex;
}

}  // namespace cairn::layer
