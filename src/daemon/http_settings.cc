#include "daemon/http_settings.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "base/utf8.h"

namespace cairn::daemon {

namespace {

struct HostAndPort {
  std::string_view host, port;  // the host without brackets; "" without a port
  bool in_brackets = false;
};

std::optional<HostAndPort> split_host(std::string_view text) {
  HostAndPort parts;
  std::size_t end = text.find(':');
  if (text.starts_with('[')) {
    const std::size_t close = text.find(']');
    if (close == std::string_view::npos) return std::nullopt;
    parts.in_brackets = true;
    parts.host = text.substr(1, close - 1);
    end = close + 1;
    if (end < text.size() && text[end] != ':') return std::nullopt;
  } else {
    parts.host = text.substr(0, end);
  }
  if (end < text.size()) parts.port = text.substr(end + 1);
  return parts;
}

bool is_address(int family, std::string_view text) {
  in6_addr into{};
  return text.size() < INET6_ADDRSTRLEN && ::inet_pton(family, std::string(text).c_str(), &into) == 1;
}

}  // namespace

Result<ListenAddress> parse_listen_address(std::string_view text) {
  const auto refuse = [&](const char* what) {
    return Error(ErrorKind::invalid, fmt::format("'{}' {}: write it like \"127.0.0.1:9178\"", text, what));
  };
  const std::optional<HostAndPort> parts = split_host(text);
  if (!parts || parts->port.empty()) return refuse("is no address with a port");
  ListenAddress address;
  const char* const end = parts->port.data() + parts->port.size();
  const auto [stopped, error] = std::from_chars(parts->port.data(), end, address.port);
  if (error != std::errc() || stopped != end) return refuse("has no port from 0 to 65535");
  address.host = parts->host == "localhost" && !parts->in_brackets ? "127.0.0.1" : std::string(parts->host);
  if (!is_address(parts->in_brackets ? AF_INET6 : AF_INET, address.host)) {
    return refuse("does not begin with an IP address (0.0.0.0 and [::] are all of this machine's)");
  }
  address.is_loopback = parts->in_brackets ? address.host == "::1" : address.host.starts_with("127.");
  return address;
}

std::string text_of(const ListenAddress& address) {
  const bool is_v6 = address.host.find(':') != std::string::npos;
  return is_v6 ? fmt::format("[{}]:{}", address.host, address.port) : fmt::format("{}:{}", address.host, address.port);
}

bool may_ask_by(std::string_view host_header, const std::vector<std::string>& hosts) {
  const std::optional<HostAndPort> parts = split_host(host_header);
  if (!parts) return false;
  if (parts->in_brackets) return is_address(AF_INET6, parts->host);
  const std::string name = ascii_lower(parts->host);
  return name == "localhost" || is_address(AF_INET, name) || std::ranges::find(hosts, name) != hosts.end();
}

}  // namespace cairn::daemon
