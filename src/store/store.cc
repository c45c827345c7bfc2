// What every store can do by way of its other calls.
#include <fmt/format.h>

#include <algorithm>

#include "cairn/store.h"
#include "store/range.h"

namespace cairn {

Result<std::string> Store::put_new_beside(std::string_view key, const Source& body, const Beside& beside) {
  CAIRN_ASSIGN(const ObjectInfo there, look(beside.key));
  if (there.etag == beside.etag) return put_new(key, body);
  return Error(ErrorKind::not_found, std::string(beside.key) + ": it is another object");
}

// As a run of gets.
Result<ObjectInfo> Store::read(std::string_view key, std::uint64_t offset, std::uint64_t length,
                               const TakePiece& take) {
  constexpr std::uint64_t kPieceBytes = 8 << 20;
  std::string etag;
  for (std::uint64_t done = 0;;) {
    const std::uint64_t asked = std::min(kPieceBytes, length - done);
    CAIRN_ASSIGN(const Object object, get(key, offset + done, asked));
    if (done > 0 && object.info.etag != etag) return changed_while_read(key);
    const std::uint64_t due = std::min(length, object.info.size_bytes - offset) - done;  // from here to the end of it
    if (object.bytes.size() != std::min(asked, due)) {
      return Error(ErrorKind::retry_later, fmt::format("{} answered with {} bytes of {}, fewer than it has: try again",
                                                       url(), object.bytes.size(), key));
    }
    if (!object.bytes.empty()) CAIRN_TRY(take(object.info, object.bytes));
    etag = object.info.etag;
    done += object.bytes.size();
    if (object.bytes.size() == due) return object.info;
  }
}

Result<std::vector<NotRemoved>> Store::remove_many(std::span<const std::string> keys) {
  std::vector<NotRemoved> left;
  for (const std::string& key : keys) {
    if (auto removed = remove(key); !removed) left.push_back({key, removed.error()});
  }
  return left;
}

}  // namespace cairn
