// A store that remembers what went wrong with it, so that the command can tell a store's failure from one of this
// machine's: both may say "denied" or "io", and the exit status differs.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <string_view>

#include "base/mutex.h"
#include "cairn/store.h"
#include "cli/exit_status.h"
#include "store/around.h"

namespace cairn::cli {

class RememberingStore final : public StoreAround<RememberingStore> {
 public:
  explicit RememberingStore(std::unique_ptr<Store> inner) : inner_(std::move(inner)) {}

  // Errors gain context in front on their way up, never behind: one that ends in what this store said came from it.
  Origin origin_of(const Error& error) const EXCLUDES(mutex_);
  bool has_said(const Error& error) const EXCLUDES(mutex_);

  Store& inner() const { return *inner_; }
  template <class Call>
  auto around(const StoreCall&, const Call& call) -> decltype(call()) {
    auto result = call();
    if (!result) remember(result.error());
    return result;
  }
  // What whoever takes the bytes says (that there is no room for them) is no word of this store.
  Result<ObjectInfo> read(std::string_view key, std::uint64_t offset, std::uint64_t length,
                          const TakePiece& take) override;
  Result<std::vector<NotRemoved>> remove_many(std::span<const std::string> keys) override;

 private:
  void remember(const Error& error) EXCLUDES(mutex_);

  std::unique_ptr<Store> inner_;
  mutable Mutex mutex_;
  std::deque<std::string> messages_ GUARDED_BY(mutex_);  // the newest few
};

}  // namespace cairn::cli
