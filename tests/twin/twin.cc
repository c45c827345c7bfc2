#include "twin/twin.h"

#include <fmt/format.h>

#include "twin/control.h"
#include "twin/host.h"
#include "twin/server.h"

namespace cairn::twin {
namespace {

ServiceOptions service_options(const TwinOptions& options) {
  ServiceOptions out;
  out.keys = options.keys;
  out.region = options.region;
  out.buckets = options.buckets;
  out.dialect = options.dialect;
  out.all_headers_signed = options.all_headers_signed;
  out.signed_payload_over_http = options.signed_payload_over_http;
  out.verify_payload = options.verify_payload;
  out.keep_bodies = options.keep_bodies;
  out.requester_pays = options.requester_pays;
  out.min_part_bytes = options.min_part_bytes;
  out.max_put_bytes = options.max_put_bytes;
  out.max_page = options.max_page;
  out.directory = options.directory;
  return out;
}

}  // namespace

class Twin::Impl {
 public:
  explicit Impl(TwinOptions given) : options(std::move(given)), host(options), port(options.port) {
    if (options.tls != Tls::off) certificate = make_certificate(options.tls);
    host.dice.set_plan(options.faults);
  }

  const TwinOptions options;
  std::optional<SelfSigned> certificate;
  Host host;
  int port;
  std::unique_ptr<Server> server;
};

Twin::Twin(TwinOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {
  if (impl_->options.control) {
    impl_->host.control = [this](const Request& request) { return answer_control(*this, request); };
  }
}

Twin::~Twin() { stop(); }

Result<void> Twin::start() {
  Host& host = impl_->host;
  if (!host.service) {
    CAIRN_ASSIGN(host.service,
                 Service::open(service_options(impl_->options), [&host] { return host.now_ms(); }));
  }
  host.set_stopping(false);
  CAIRN_ASSIGN(impl_->server,
               Server::start(host, impl_->port, impl_->certificate ? &*impl_->certificate : nullptr));
  impl_->port = impl_->server->port();
  return {};
}

void Twin::stop() {
  impl_->host.set_stopping(true);
  impl_->server.reset();
}

int Twin::port() const { return impl_->port; }
std::string Twin::url() const {
  return fmt::format("{}://127.0.0.1:{}", impl_->certificate ? "https" : "http", impl_->port);
}
std::string Twin::certificate_pem() const { return impl_->certificate ? impl_->certificate->certificate_pem : ""; }

Counts Twin::counts() const { return impl_->host.counts(); }
void Twin::reset_counts() { impl_->host.reset_counts(); }

void Twin::set_faults(const FaultPlan& plan) { impl_->host.dice.set_plan(plan); }
void Twin::fail_next(Operation operation, Fault fault, int count, int skip) {
  impl_->host.dice.fail_next(operation, fault, count, skip);
}
void Twin::set_latency_ms(int latency_ms) { impl_->host.latency_ms = latency_ms; }
void Twin::set_clock_offset_ms(std::int64_t offset_ms) { impl_->host.clock_offset_ms = offset_ms; }
void Twin::set_dialect(const Dialect& dialect) { impl_->host.service->set_dialect(dialect); }
void Twin::set_denied(const Operations& denied) { impl_->host.service->set_denied(denied); }
void Twin::set_keys(std::vector<AccessKey> keys) { impl_->host.service->set_keys(std::move(keys)); }
void Twin::set_undeletable(std::set<std::string> keys) { impl_->host.service->set_undeletable(std::move(keys)); }
void Twin::expire_uploads() { impl_->host.service->expire_uploads(); }

std::optional<std::string> Twin::text_of(const std::string& bucket, const std::string& key) {
  return impl_->host.service->text_of(bucket, key);
}
std::string Twin::header_of(const std::string& bucket, const std::string& key, std::string_view name) {
  return impl_->host.service->header_of(bucket, key, name);
}
std::vector<std::string> Twin::keys_of(const std::string& bucket) { return impl_->host.service->keys_of(bucket); }
std::set<std::string> Twin::newest_keys_of(const std::string& bucket) {
  return impl_->host.service->newest_keys_of(bucket);
}
std::vector<std::string> Twin::upload_keys(const std::string& bucket) {
  return impl_->host.service->upload_keys(bucket);
}
std::size_t Twin::upload_count(const std::string& bucket) { return impl_->host.service->upload_count(bucket); }
void Twin::damage(const std::string& bucket, const std::string& key, std::uint64_t bit) {
  impl_->host.service->damage(bucket, key, bit);
}

}  // namespace cairn::twin
