// Asking a running `cairn replicate --config` by its control socket.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/os.h"
#include "cairn/error.h"
#include "cli/output.h"
#include "cli/signals.h"

namespace CLI {
class App;
}

namespace cairn::cli {

class ControlClient {
 public:
  // `path` "": the default. Errors: those of daemon::connect_control.
  static Result<ControlClient> connect(const std::string& path);

  // One request and its answer, which may be waited for so long; none: for ever. The error is the answer's; cancelled:
  // a
  // signal came; retry_later: no answer in time; io: the other side ended without one.
  Result<Json> ask(const Json& request, std::optional<std::int64_t> limit_ms, Signals& signals);
  // Until the process that was connected to has ended. cancelled: a signal came.
  Result<void> wait_for_end(Signals& signals);

 private:
  ControlClient(FileDescriptor socket, FileDescriptor process)
      : socket_(std::move(socket)), process_(std::move(process)) {}

  FileDescriptor socket_, process_;  // -1: it cannot be watched
  std::string read_;
};

// How long an answer may take that is given at once.
inline constexpr std::int64_t kAnswerLimitMs = 30'000;

void add_control_option(CLI::App& command, std::string& path);

// As the other side may know it: absolute, and without "." and "..".
Result<std::string> absolute_database(const std::string& database);
// `field` of the request names a database. It may be known under its real path instead: then that is asked.
Result<Json> ask_of_database(ControlClient& client, Json request, const std::string& database,
                             std::optional<std::int64_t> limit_ms, Signals& signals);

}  // namespace cairn::cli
