#include "segment/object_input.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"

namespace cairn::segment {
namespace {

class StoreInput final : public ObjectInput {
 public:
  StoreInput(Store& store, std::string key, KeepEnd keep) : store_(store), key_(std::move(key)), keep_(keep) {}

  Result<Bytes> read_end(std::uint64_t length) override {
    CAIRN_ASSIGN(Object object, store_.get_suffix(key_, length));
    if (object.bytes.size() != std::min(length, object.info.size_bytes)) return short_answer(object.bytes.size());
    info_ = std::move(object.info);
    if (keep_ == KeepEnd::yes) end_ = object.bytes;
    return std::move(object.bytes);
  }

  std::uint64_t size_bytes() const override { return info_.size_bytes; }

  Result<Bytes> read(std::uint64_t offset, std::uint64_t length) override {
    if (const std::uint64_t begin = info_.size_bytes - end_.size(); offset >= begin) {
      const auto at = end_.begin() + static_cast<std::ptrdiff_t>(offset - begin);
      return Bytes(at, at + static_cast<std::ptrdiff_t>(length));
    }
    return read_anew(offset, length);
  }

  Result<void> stream(std::uint64_t offset, std::uint64_t length,
                      const std::function<Result<void>(ByteView piece)>& take) override {
    if (offset >= info_.size_bytes - end_.size()) {
      CAIRN_ASSIGN(const Bytes bytes, read(offset, length));
      return take(bytes);
    }
    std::uint64_t come_bytes = 0;
    const auto take_same = [&](const ObjectInfo& whole, ByteView piece) -> Result<void> {
      CAIRN_TRY(expect_same(whole));
      come_bytes += piece.size();
      return take(piece);
    };
    CAIRN_TRY(store_.read(key_, offset, length, take_same));
    if (come_bytes != length) return short_answer(come_bytes);
    return {};
  }

  Result<Bytes> read_anew(std::uint64_t offset, std::uint64_t length) override {
    CAIRN_ASSIGN(Object object, store_.get(key_, offset, length));
    CAIRN_TRY(expect_same(object.info));
    if (object.bytes.size() != length) return short_answer(object.bytes.size());
    return std::move(object.bytes);
  }

  int readings() const override { return kReadingsOfStore; }

 private:
  // Objects are immutable; one that is replaced while it is read must not give a mixture.
  Result<void> expect_same(const ObjectInfo& whole) const {
    if (whole.size_bytes == info_.size_bytes && whole.etag == info_.etag) return {};
    return Error(ErrorKind::corrupt, "it was replaced while it was read");
  }

  // The store broke its contract or the connection was cut: nothing is known about the object itself.
  Error short_answer(std::uint64_t size) const {
    return Error(ErrorKind::retry_later, fmt::format("{} answered with {} bytes of {}, fewer than it has: try again",
                                                     store_.url(), size, key_));
  }

  Store& store_;
  const std::string key_;
  const KeepEnd keep_;
  ObjectInfo info_;  // of the first read
  Bytes end_;        // what it gave, when it is kept
};

class SourceInput final : public ObjectInput {
 public:
  explicit SourceInput(const Source& source) : source_(source), size_bytes_(source.size_bytes()) {}

  Result<Bytes> read_end(std::uint64_t length) override {
    std::uint64_t wanted = std::min(length, size_bytes_);
    return read(size_bytes_ - wanted, wanted);
  }

  std::uint64_t size_bytes() const override { return size_bytes_; }

  Result<Bytes> read(std::uint64_t offset, std::uint64_t length) override {
    Bytes bytes(length);
    if (length > 0) CAIRN_TRY(source_.read_at(offset, bytes));
    return bytes;
  }

  Result<void> stream(std::uint64_t offset, std::uint64_t length,
                      const std::function<Result<void>(ByteView piece)>& take) override {
    constexpr std::uint64_t kAtOnce = 1 << 20;
    for (std::uint64_t done = 0; done < length; done += kAtOnce) {
      CAIRN_ASSIGN(const Bytes piece, read(offset + done, std::min(kAtOnce, length - done)));
      CAIRN_TRY(take(piece));
    }
    return {};
  }

  Result<Bytes> read_anew(std::uint64_t offset, std::uint64_t length) override { return read(offset, length); }
  int readings() const override { return 1; }

 private:
  const Source& source_;
  const std::uint64_t size_bytes_;
};

}  // namespace

std::unique_ptr<ObjectInput> make_input(Store& store, std::string key, KeepEnd keep) {
  return std::make_unique<StoreInput>(store, std::move(key), keep);
}

std::unique_ptr<ObjectInput> make_input(const Source& source) { return std::make_unique<SourceInput>(source); }

Result<EndWindow> EndWindow::open(ObjectInput& input, std::uint64_t length) {
  CAIRN_ASSIGN(Bytes bytes, input.read_end(length));
  std::uint64_t begin = input.size_bytes() - bytes.size();
  return EndWindow(input, std::move(bytes), begin);
}

Result<void> EndWindow::extend_to(std::uint64_t offset) {
  if (offset >= begin_) return {};
  CAIRN_ASSIGN(Bytes front, input_->read(offset, begin_ - offset));
  front.insert(front.end(), bytes_.begin(), bytes_.end());
  bytes_ = std::move(front);
  begin_ = offset;
  return {};
}

ByteView EndWindow::view(std::uint64_t offset, std::uint64_t length) const {
  CAIRN_CHECK(offset >= begin_ && offset - begin_ + length <= bytes_.size());
  return ByteView(bytes_).subspan(offset - begin_, length);
}

}  // namespace cairn::segment
