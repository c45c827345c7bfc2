#include "web/pages.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <utility>

#include "daemon/http_settings.h"
#include "web/metrics.h"
#include "web/status.h"

namespace cairn::web {

namespace {

constexpr std::int64_t kStill_ms = 300'000;  // far longer than anything that a loop does in one go
constexpr std::string_view kNonce = "{{nonce}}";

HttpReply text(int status, std::string words) {
  HttpReply reply;
  reply.status = status;
  reply.body = std::move(words) + "\n";
  return reply;
}

// Of databases that are followed and well: each is looked at every few seconds, whatever happens.
std::optional<std::uint64_t> looks_of(const daemon::FleetView& view) {
  std::optional<std::uint64_t> looks;
  for (const daemon::DatabaseView& database : view.databases) {
    if (state_of(database) == daemon::DatabaseState::following) looks = looks.value_or(0) + database.status.looks;
  }
  return looks;
}

}  // namespace

HttpReply Pages::answer(const HttpRequest& request) {
  if (!daemon::may_ask_by(request.host, options_.hosts)) {
    return text(403, "This server is not known by that name: ask by an IP address or localhost, or add the name to "
                     "hosts in [http] of the configuration.");
  }
  const std::string_view target = request.target;
  const std::string_view path = target.substr(0, target.find('?'));
  const std::string_view query = path.size() < target.size() ? target.substr(path.size() + 1) : "";
  if (path == "/") return page();
  if (path == "/status.json") {
    HttpReply reply;
    reply.type = "application/json";
    reply.body = status_json(fleet_.view(), parse_status_query(query), options_.version);
    return reply;
  }
  if (path == "/metrics") {
    HttpReply reply;
    reply.type = "text/plain; version=0.0.4; charset=utf-8";
    reply.body = metrics_text(fleet_.view(), options_.version, options_.metrics_databases);
    return reply;
  }
  if (path == "/healthz") return healthz(fleet_.view());
  if (path == "/readyz") {
    const std::vector<std::string> reasons = why_not_ready(fleet_.view());
    return reasons.empty() ? text(200, "ready") : text(503, fmt::format("not ready:\n{}", fmt::join(reasons, "\n")));
  }
  return text(404, "There is nothing here. There are: / (for people), /status.json, /metrics, /healthz, /readyz.");
}

// The page runs no script but its own, and loads nothing from elsewhere.
HttpReply Pages::page() const {
  const std::string nonce = nonce_();
  HttpReply reply;
  reply.type = "text/html; charset=utf-8";
  reply.body = kPageHtml;
  for (std::size_t at = reply.body.find(kNonce); at != std::string::npos; at = reply.body.find(kNonce, at)) {
    reply.body.replace(at, kNonce.size(), nonce);
  }
  reply.headers = {{"Content-Security-Policy",
                    fmt::format("default-src 'none'; connect-src 'self'; script-src 'nonce-{0}'; "
                                "style-src 'nonce-{0}'; img-src data:; base-uri 'none'; form-action 'none'; "
                                "frame-ancestors 'none'", nonce)},
                   {"Referrer-Policy", "no-referrer"}};
  return reply;
}

HttpReply Pages::healthz(const daemon::FleetView& view) {
  const std::optional<std::uint64_t> looks = looks_of(view);
  if (!looks) pulse_.reset();
  else if (!pulse_ || pulse_->looks != *looks) pulse_ = {*looks, view.now_ms};
  if (view.still_ms > kStill_ms) {
    return text(503, fmt::format("the main loop has not come round for {} s", view.still_ms / 1000));
  }
  const std::int64_t quiet_ms = pulse_ ? view.now_ms - pulse_->since_ms : 0;
  if (quiet_ms > kStill_ms) return text(503, fmt::format("no database was looked at for {} s", quiet_ms / 1000));
  return text(200, "alive");
}

}  // namespace cairn::web
