// An S3 store put together, with all that it works with: transport, keys, clock, chance.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/mutex.h"
#include "cairn/error.h"
#include "cairn/store.h"
#include "s3/dialect.h"
#include "s3/http.h"
#include "s3/s3_store.h"

namespace cairn::s3 {

struct Connection {
  std::unique_ptr<Store> store;  // repeats what failed, and takes large objects apart; owns all of it
  S3Store* requests = nullptr;   // the one inside it that makes single requests
};

// What stores of one bucket, reached in one way, have in common: connections, keys, and what was learned of the bucket.
// Each store counts its own requests. Any thread; outlived by the stores.
class SharedStores {
 public:
  struct Common;
  SharedStores();
  ~SharedStores();
  std::shared_ptr<Common> of(const std::string& bucket_and_options, const S3Options& options, const HttpOptions& http)
      EXCLUDES(mutex_);
  void close_idle_connections() EXCLUDES(mutex_);

 private:
  Mutex mutex_;
  std::map<std::string, std::shared_ptr<Common>> common_ GUARDED_BY(mutex_);
};

// Nothing is sent yet. `known` spares what it says from being learned.
Result<Connection> connect(std::string_view url, const S3Options& options, const Dialect& known = {},
                           SharedStores* shared = nullptr);

}  // namespace cairn::s3
