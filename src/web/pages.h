// What is answered over HTTP, by path. Nothing of it changes anything, and none asks a store.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "daemon/fleet.h"
#include "web/http_server.h"

namespace cairn::web {

struct PagesOptions {
  std::string version;
  std::vector<std::string> hosts;  // may_ask_by
  int metrics_databases = 1000;
};

// The page for people as it was built in, where "{{nonce}}" stands for what allows its script and style to run.
extern const char* const kPageHtml;

// By one thread.
class Pages {
 public:
  // `fleet` outlives it. `nonce`: 128 random bits in hexadecimal digits, others at each call.
  Pages(const daemon::Fleet& fleet, PagesOptions options, std::function<std::string()> nonce)
      : fleet_(fleet), options_(std::move(options)), nonce_(std::move(nonce)) {}

  HttpReply answer(const HttpRequest& request);

 private:
  // When it was seen last that what follows databases comes round.
  struct Pulse {
    std::uint64_t looks = 0;
    std::int64_t since_ms = 0;
  };
  HttpReply page() const;
  HttpReply healthz(const daemon::FleetView& view);

  const daemon::Fleet& fleet_;
  const PagesOptions options_;
  const std::function<std::string()> nonce_;
  std::optional<Pulse> pulse_;
};

}  // namespace cairn::web
