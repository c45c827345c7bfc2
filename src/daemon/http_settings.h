// Where the daemon tells how it is doing, as [http] of the configuration says.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cairn/error.h"

namespace cairn::daemon {

struct ListenAddress {
  std::string host;  // an IP address, without brackets
  std::uint16_t port = 0;
  bool is_loopback = true;

  bool operator==(const ListenAddress&) const = default;
};

struct HttpSettings {
  ListenAddress listen;
  std::vector<std::string> hosts;  // names that a request may ask by, beside localhost and addresses
  int metrics_databases = 1000;    // with more of them, metrics are sums alone

  bool operator==(const HttpSettings&) const = default;
};

// "127.0.0.1:9178", "[::1]:9178", "localhost:9178" (which is 127.0.0.1). Port 0: one that is free. invalid: anything
// else, names above all: what they stand for changes.
Result<ListenAddress> parse_listen_address(std::string_view text);

// "127.0.0.1:9178", "[::1]:9178".
std::string text_of(const ListenAddress& address);

// Whether a Host header may ask for pages: where a stranger's name leads here (DNS rebinding), a browser tells that
// name. `hosts` in small letters.
bool may_ask_by(std::string_view host_header, const std::vector<std::string>& hosts);

}  // namespace cairn::daemon
