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

namespace cairn::cli {

class RememberingStore final : public Store {
 public:
  explicit RememberingStore(std::unique_ptr<Store> inner) : inner_(std::move(inner)) {}

  // Errors gain context in front on their way up, never behind: one that ends in what this store said came from it.
  Origin origin_of(const Error& error) const EXCLUDES(mutex_);
  bool has_said(const Error& error) const EXCLUDES(mutex_);

  std::string url() const override { return inner_->url(); }
  StoreCapabilities capabilities() const override { return inner_->capabilities(); }
  StoreStatus status() const override { return inner_->status(); }
  Result<std::string> put_new(std::string_view key, const Source& body) override;
  Result<std::string> put_if(std::string_view key, const Source& body, std::string_view etag) override;
  Result<Object> get(std::string_view key, std::uint64_t offset, std::optional<std::uint64_t> length) override;
  Result<Object> get_suffix(std::string_view key, std::uint64_t length) override;
  Result<ObjectInfo> head(std::string_view key) override;
  Result<ListPage> list(std::string_view prefix, std::string_view start_after, int limit) override;
  Result<void> remove(std::string_view key) override;
  Result<std::vector<NotRemoved>> remove_many(std::span<const std::string> keys) override;
  Result<std::string> begin_upload(std::string_view key) override;
  Result<PartInfo> put_part(std::string_view key, std::string_view upload_id, int number, const Source& body) override;
  Result<PartInfo> copy_part(std::string_view key, std::string_view upload_id, int number, std::string_view source_key,
                             std::uint64_t offset, std::uint64_t length) override;
  Result<std::vector<PartInfo>> list_parts(std::string_view key, std::string_view upload_id) override;
  Result<std::string> complete_new(std::string_view key, std::string_view upload_id,
                                   std::span<const PartInfo> parts) override;
  Result<void> abort_upload(std::string_view key, std::string_view upload_id) override;
  Result<std::vector<UploadInfo>> list_uploads(std::string_view prefix) override;

 private:
  template <class T>
  Result<T> note(Result<T> result) EXCLUDES(mutex_) {
    if (!result) remember(result.error());
    return result;
  }
  void remember(const Error& error) EXCLUDES(mutex_);

  std::unique_ptr<Store> inner_;
  mutable Mutex mutex_;
  std::deque<std::string> messages_ GUARDED_BY(mutex_);  // the newest few
};

}  // namespace cairn::cli
