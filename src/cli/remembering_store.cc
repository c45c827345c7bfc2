#include "cli/remembering_store.h"

#include <algorithm>

namespace cairn::cli {

namespace {

// Enough for what parallel requests fail with at once; the error that ends a command is among the last.
constexpr std::size_t kRemembered = 64;

}  // namespace

Origin RememberingStore::origin_of(const Error& error) const {
  switch (error.kind()) {
    case ErrorKind::retry_later:
    case ErrorKind::maybe_done: return Origin::store;
    case ErrorKind::unsupported:
    case ErrorKind::denied:
    case ErrorKind::io: break;
    default: return Origin::local;  // the exit status does not depend on it
  }
  return has_said(error) ? Origin::store : Origin::local;
}

bool RememberingStore::has_said(const Error& error) const {
  MutexLock lock(mutex_);
  return std::any_of(messages_.begin(), messages_.end(),
                     [&](const std::string& message) { return error.message().ends_with(message); });
}

void RememberingStore::remember(const Error& error) {
  MutexLock lock(mutex_);
  const auto known = std::find(messages_.begin(), messages_.end(), error.message());
  if (known != messages_.end()) messages_.erase(known);
  messages_.push_back(error.message());
  if (messages_.size() > kRemembered) messages_.pop_front();
}

Result<ObjectInfo> RememberingStore::read(std::string_view key, std::uint64_t offset, std::uint64_t length,
                                          const TakePiece& take) {
  bool is_taken = true;
  auto read = inner_->read(key, offset, length, [&](const ObjectInfo& info, ByteView piece) {
    auto taken = take(info, piece);
    if (!taken) is_taken = false;
    return taken;
  });
  if (!read && is_taken) remember(read.error());
  return read;
}

Result<std::vector<NotRemoved>> RememberingStore::remove_many(std::span<const std::string> keys) {
  auto left = StoreAround::remove_many(keys);
  if (left) {
    for (const NotRemoved& one : *left) remember(one.error);
  }
  return left;
}

}  // namespace cairn::cli
