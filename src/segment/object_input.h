// Where a reader's bytes come from: a store's object, or a local file. And a window on an object's end.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "segment/format.h"
#include "segment/reader.h"

namespace cairn::segment {

class ObjectInput {
 public:
  virtual ~ObjectInput() = default;
  // The object's last bytes, all of them when it has fewer; afterwards size_bytes() is known. Called once, first.
  virtual Result<Bytes> read_end(std::uint64_t length) = 0;
  virtual std::uint64_t size_bytes() const = 0;
  // Exactly [offset, offset + length), which the caller has bounded by size_bytes(). Safe from many threads.
  virtual Result<Bytes> read(std::uint64_t offset, std::uint64_t length) = 0;
  // The same in pieces, as they come: for what is too long to lie in memory. An error of `take` ends it.
  virtual Result<void> stream(std::uint64_t offset, std::uint64_t length,
                              const std::function<Result<void>(ByteView piece)>& take) = 0;
  // As read(), whatever is kept of earlier reads: they turned out to be damaged.
  virtual Result<Bytes> read_anew(std::uint64_t offset, std::uint64_t length) = 0;
  // How many readings have to agree before an object is called damaged.
  virtual int readings() const = 0;
};

// A network may garble what it carries, and over plain http only the object's own checksums notice. A local file says
// the same every time.
inline constexpr int kReadingsOfStore = 4;

std::unique_ptr<ObjectInput> make_input(Store& store, std::string key, KeepEnd keep);
std::unique_ptr<ObjectInput> make_input(const Source& source);

// The bytes at the end of an object that have been read so far; grows towards the front.
class EndWindow {
 public:
  static Result<EndWindow> open(ObjectInput& input, std::uint64_t length);
  // Makes everything from `offset` on available, with one read when it is not.
  Result<void> extend_to(std::uint64_t offset);
  bool has(std::uint64_t offset) const { return offset >= begin_; }
  // has(offset) must hold, and the range must lie inside the object. Valid until the next extend_to.
  ByteView view(std::uint64_t offset, std::uint64_t length) const;

 private:
  EndWindow(ObjectInput& input, Bytes bytes, std::uint64_t begin)
      : input_(&input), bytes_(std::move(bytes)), begin_(begin) {}
  ObjectInput* input_;
  Bytes bytes_;
  std::uint64_t begin_;
};

}  // namespace cairn::segment
