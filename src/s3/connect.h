// An S3 store put together, with all that it works with: transport, keys, clock, chance.
#pragma once

#include <memory>
#include <string_view>

#include "cairn/error.h"
#include "cairn/store.h"
#include "s3/dialect.h"
#include "s3/s3_store.h"

namespace cairn::s3 {

struct Connection {
  std::unique_ptr<Store> store;  // repeats what failed, and takes large objects apart; owns all of it
  S3Store* requests = nullptr;   // the one inside it that makes single requests
};

// Nothing is sent yet. `known` spares what it says from being learned.
Result<Connection> connect(std::string_view url, const S3Options& options, const Dialect& known = {});

}  // namespace cairn::s3
