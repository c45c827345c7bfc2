// A layer's tar, looked at byte by byte as it streams past, beside what the layer's index says of it.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "cairn/error.h"
#include "cairn/store.h"
#include "layer/object.h"
#include "segment/running_hash.h"

struct evp_md_ctx_st;

namespace cairn::layer {

class TarCheck {
 public:
  explicit TarCheck(std::unique_ptr<EntryCursor> index);
  ~TarCheck();

  // The next bytes of the tar, in pieces of any size. corrupt: what differs, and where.
  Result<void> feed(ByteView bytes);
  // After the last byte: the archive is complete, and the index has no more entries than it. Returns the tar's SHA-256
  // in hexadecimal.
  Result<std::string> finish();

  std::uint64_t entries() const { return entries_; }
  std::uint64_t torn_files() const { return torn_files_; }

 private:
  enum class At { header, contents, padding, end };

  Result<std::size_t> take(ByteView bytes);
  Result<std::size_t> take_header(ByteView bytes);
  Result<void> begin_entry(const Entry& entry);
  Result<void> end_contents();
  Result<std::size_t> take_zeros(ByteView bytes, std::uint64_t& left);

  std::unique_ptr<EntryCursor> index_;
  struct Free {
    void operator()(evp_md_ctx_st* context) const;
  };
  std::unique_ptr<evp_md_ctx_st, Free> sha_;
  At at_ = At::header;
  Bytes begun_;                 // of a header that is not complete yet
  std::uint64_t position_ = 0;  // in the tar, of the next byte that is to be understood
  std::uint64_t left_ = 0;      // of the contents, the padding or the end
  IndexedEntry entry_;          // the one at hand, as the index has it
  segment::RunningHash hash_;   // of its contents
  std::uint64_t entries_ = 0, torn_files_ = 0;
};

}  // namespace cairn::layer
