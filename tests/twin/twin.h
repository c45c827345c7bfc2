// An object store for tests that speaks the S3 protocol on loopback, stricter than Amazon's, and that fails on demand.
//
//   twin::TwinOptions options;
//   options.faults = {.seed = 7, .per_mille = 100};
//   twin::Twin twin(options);
//   ASSERT_TRUE(twin.start());
//   S3Options s3{.endpoint = twin.url(), .region = "us-east-1", ...};
//
// Every call may be made from any thread at any time between start() and stop().
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "cairn/error.h"
#include "twin/dialect.h"
#include "twin/faults.h"
#include "twin/operation.h"
#include "twin/sigv4.h"
#include "twin/tls.h"

namespace cairn::twin {

// A request that has been answered (or not).
struct Seen {
  Operation operation = Operation::unknown;
  std::string method, target;
  int status = 0;               // 0: no answer was sent
  std::string code;             // of an error: "NoSuchKey", ...
  std::optional<Fault> fault;
};

struct TwinOptions {
  std::vector<AccessKey> keys{AccessKey{}};
  std::string region = "us-east-1";
  std::vector<std::string> buckets{"bucket"};
  Dialect dialect;
  FaultPlan faults;
  int port = 0;                  // 0: one that is free
  int latency_ms = 0;            // between a request and its answer
  // Where conditions are not atomic: how long an effect waits after they have been looked at. What comes in between
  // goes unnoticed, so that a race has several winners however fast this machine is.
  int unguarded_ms = 60;
  Tls tls = Tls::off;
  std::uint64_t min_part_bytes = 5ull << 20;
  std::uint64_t max_put_bytes = 5ull << 30;
  std::uint64_t max_page = 1000;  // keys, parts and uploads a page
  bool requester_pays = false;    // requests without x-amz-request-payer are denied
  // Stricter than S3 by default: see SignatureRules.
  bool all_headers_signed = true;
  bool signed_payload_over_http = true;
  bool verify_payload = true;     // false: x-amz-content-sha256 is believed; for benchmarks
  bool keep_bodies = true;        // false: see ServiceOptions; for benchmarks
  std::string directory;          // not empty: what is stored outlives the twin there
  bool control = false;           // answer /-twin/... : see control.h
  std::function<void(const Seen&)> on_request;  // called from the twin's threads
};

struct Counts {
  ByOperation<std::uint64_t> requests;
  std::map<std::string, std::uint64_t> errors;   // answers by code: "NoSuchKey", "SignatureDoesNotMatch", ...
  ByOperation<std::array<std::uint64_t, kFaultCount>> faults;  // how often each befell which operation
  std::uint64_t connections = 0;
  std::uint64_t bytes_in = 0, bytes_out = 0;     // of bodies

  std::uint64_t all_requests() const;
  std::uint64_t of(Operation operation, Fault fault) const {
    return faults[operation][static_cast<std::size_t>(fault)];
  }
  std::uint64_t of(Fault fault) const;
  std::uint64_t all_faults() const;
  std::uint64_t error(const std::string& code) const;
};

class Twin {
 public:
  explicit Twin(TwinOptions options = {});
  ~Twin();  // stops
  Twin(const Twin&) = delete;
  Twin& operator=(const Twin&) = delete;

  // Listens on 127.0.0.1. io: the port is taken, or the directory cannot be used. After stop() it starts again, on
  // the same port and with what was stored.
  Result<void> start();
  void stop();

  int port() const;
  std::string url() const;              // "http://127.0.0.1:40123"
  std::string certificate_pem() const;  // with TLS: what a client has to trust

  Counts counts() const;
  void reset_counts();

  void set_faults(const FaultPlan& plan);
  // Besides the plan: of the coming requests of this operation, the first `skip` pass, the next `count` suffer.
  void fail_next(Operation operation, Fault fault, int count = 1, int skip = 0);
  void set_latency_ms(int latency_ms);
  void set_dialect(const Dialect& dialect);
  void set_denied(const Operations& denied);  // these are answered 403 AccessDenied
  void set_keys(std::vector<AccessKey> keys);
  void set_undeletable(std::set<std::string> keys);  // nobody may delete these
  void set_clock_offset_ms(std::int64_t offset_ms);  // how far the server's clock is ahead
  void expire_uploads();                             // forgets all uploads, as a lifecycle rule does

  // What lies there, for tests that look behind the client's back.
  std::optional<std::string> text_of(const std::string& bucket, const std::string& key);
  std::string header_of(const std::string& bucket, const std::string& key, std::string_view name);  // "": not kept
  std::vector<std::string> keys_of(const std::string& bucket);
  std::set<std::string> newest_keys_of(const std::string& bucket);  // those that a stale listing leaves out now
  std::size_t upload_count(const std::string& bucket);
  std::vector<std::string> upload_keys(const std::string& bucket);
  void damage(const std::string& bucket, const std::string& key, std::uint64_t bit);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace cairn::twin
