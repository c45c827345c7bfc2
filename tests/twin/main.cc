// The twin as a program, for shell scripts and benchmarks. It runs until SIGTERM or SIGINT.
#include <csignal>
#include <cstdio>

#include <pthread.h>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/files.h"
#include "twin/control.h"
#include "twin/twin.h"

namespace cairn::twin {
namespace {

struct Arguments {
  TwinOptions options;
  std::string access_key = "twin-access-key", secret_key = "twin-secret-key", session_token;
  std::string faults, operations, dialect = "aws", tls = "off";
  std::string port_file, certificate_file;
  bool read_only = false, no_list = false, lenient = false, verbose = false;
  bool believe_payload = false, opaque_etags = false, drop_bodies = false;
  int rate_percent = 0;
};

void declare(CLI::App& app, Arguments& a) {
  app.add_option("--port", a.options.port, "0: one that is free");
  app.add_option("--port-file", a.port_file, "where to write the port once it listens");
  app.add_option("--access-key", a.access_key);
  app.add_option("--secret-key", a.secret_key);
  app.add_option("--session-token", a.session_token);
  app.add_flag("--read-only", a.read_only, "the key may not write");
  app.add_flag("--no-list", a.no_list, "the key may not list");
  app.add_option("--region", a.options.region);
  app.add_option("--bucket", a.options.buckets, "may stand several times; --bucket '' for none");
  app.add_option("--dialect", a.dialect, "aws, ceph16, ceph20, swift230, swift238, r2, minio, b2, nothing");
  app.add_option("--directory", a.options.directory, "keep everything there");
  app.add_option("--latency-ms", a.options.latency_ms, "between a request and its answer");
  app.add_option("--min-part-bytes", a.options.min_part_bytes);
  app.add_option("--max-page", a.options.max_page, "entries on a page of a listing");
  app.add_option("--seed", a.options.faults.seed);
  app.add_option("--rate", a.rate_percent, "of the requests that suffer a fault, in percent");
  app.add_option("--faults", a.faults, "a,b,c (default: ordinary)");
  app.add_option("--operations", a.operations, "a,b,c, all or writes");
  app.add_option("--tls", a.tls, "off, good, wrong_name or expired")
      ->check(CLI::IsMember({"off", "good", "wrong_name", "expired"}));
  app.add_option("--certificate-file", a.certificate_file, "where to write the certificate");
  app.add_flag("--requester-pays", a.options.requester_pays);
  app.add_flag("--lenient", a.lenient, "sign what Amazon wants signed, no more");
  app.add_flag("--believe-payload", a.believe_payload, "do not hash bodies: for benchmarks");
  app.add_flag("--opaque-etags", a.opaque_etags, "etags that are no MD5: for benchmarks");
  app.add_flag("--drop-bodies", a.drop_bodies,
               "keep of an object's bytes their number, and check nothing of them: for benchmarks");
  app.add_flag("--verbose", a.verbose, "a line a request on standard error: milliseconds of the wall clock first");
}

std::string complete(Arguments& a) {
  TwinOptions& options = a.options;
  options.keys = {{a.access_key, a.secret_key, a.session_token, false, a.read_only, !a.no_list}};
  std::erase(options.buckets, "");
  options.control = true;
  options.all_headers_signed = options.signed_payload_over_http = !a.lenient;
  options.verify_payload = !a.believe_payload;
  options.keep_bodies = !a.drop_bodies;
  options.tls = a.tls == "good" ? Tls::good : a.tls == "expired" ? Tls::expired
                                          : a.tls == "off"       ? Tls::off
                                                                 : Tls::wrong_name;
  options.faults.per_mille = a.rate_percent * 10;
  const auto faults = parse_faults(a.faults);
  const auto operations = parse_operations(a.operations);
  const auto dialect = dialect_named(a.dialect);
  if (!faults) return "unknown fault in " + a.faults;
  if (!operations) return "unknown operation in " + a.operations;
  if (!dialect) return "unknown dialect " + a.dialect;
  options.faults.faults = *faults;
  options.faults.operations = *operations;
  options.dialect = *dialect;
  if (a.opaque_etags) options.dialect.md5_etags = false;
  if (a.verbose) {
    options.on_request = [](const Seen& seen) {
      const std::string line =
          fmt::format("{} {} {} -> {}{}{}\n", SystemClock().now().wall_ms, seen.method, seen.target, seen.status,
                      seen.code.empty() ? "" : " " + seen.code,
                      seen.fault ? fmt::format(" [{}]", name_of(*seen.fault)) : "");
      std::fputs(line.c_str(), stderr);
    };
  }
  return "";
}

// Whoever waits for the file finds it whole.
Result<void> write_text(const std::string& path, const std::string& text) {
  if (path.empty()) return {};
  return write_file_durably(*make_real_file_system(), path, as_bytes(text));
}

int run(Arguments& arguments) {
  sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGTERM);
  ::sigaddset(&signals, SIGINT);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  Twin twin(arguments.options);
  Result<void> ready = twin.start();
  if (ready) ready = write_text(arguments.certificate_file, twin.certificate_pem());
  if (ready) ready = write_text(arguments.port_file, fmt::format("{}\n", twin.port()));
  if (!ready) {
    fmt::print(stderr, "s3_twin: {}\n", ready.error().message());
    return 1;
  }
  fmt::print("{}\n", twin.url());
  std::fflush(stdout);
  int signal = 0;
  ::sigwait(&signals, &signal);
  return 0;
}

}  // namespace
}  // namespace cairn::twin

int main(int argc, char** argv) {
  cairn::twin::Arguments arguments;
  CLI::App app("An object store for tests, in memory, on loopback.");
  cairn::twin::declare(app, arguments);
  CLI11_PARSE(app, argc, argv);
  if (const std::string trouble = complete(arguments); !trouble.empty()) {
    fmt::print(stderr, "s3_twin: {}\n", trouble);
    return 2;
  }
  return cairn::twin::run(arguments);
}
