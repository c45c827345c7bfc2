// An HttpClient that counts what providers bill.
#pragma once

#include <memory>
#include <utility>

#include "base/mutex.h"
#include "cairn/store_status.h"
#include "s3/http.h"

namespace cairn::s3 {

class UsageCounter final : public HttpClient {
 public:
  explicit UsageCounter(std::shared_ptr<HttpClient> inner) : inner_(std::move(inner)) {}

  Result<HttpResponse> send(const HttpRequest& request) override EXCLUDES(mutex_);
  StoreUsage usage() const EXCLUDES(mutex_);
  // For requests that are not the store's: for credentials.
  HttpClient& uncounted() { return *inner_; }

 private:
  Result<HttpResponse> send_counting(const HttpRequest& request, std::uint64_t& taken_bytes);

  std::shared_ptr<HttpClient> inner_;
  mutable Mutex mutex_;
  StoreUsage usage_ GUARDED_BY(mutex_);
};

}  // namespace cairn::s3
