#include "cli/control_client.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>

#include "base/clock.h"
#include "base/utf8.h"
#include "cli/places.h"
#include "daemon/control_protocol.h"
#include "daemon/control_socket.h"

namespace cairn::cli {

namespace {

constexpr int kSignalLookMs = 50;

// A descriptor that can be read when the process behind a connection has ended; none where the system has no such
// thing.
FileDescriptor process_behind(int connection) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || peer.pid <= 0) return {};
  return FileDescriptor(static_cast<int>(::syscall(SYS_pidfd_open, peer.pid, 0)));
}

// True: it can be read. False: the time is over.
Result<bool> wait_readable(int descriptor, std::optional<std::int64_t> until_ms, Signals& signals) {
  while (true) {
    pollfd polled{descriptor, POLLIN, 0};
    if (::poll(&polled, 1, kSignalLookMs) > 0) return true;
    const std::optional<Event> event = signals.wait(0);
    if (event && event->kind == Event::Kind::signal) {
      return Error(ErrorKind::cancelled, "interrupted; what was asked for goes on");
    }
    if (until_ms && monotonic_ms() >= *until_ms) return false;
  }
}

Result<void> send_all(int socket, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return os_error(errno, "asking the running cairn");
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return {};
}

}  // namespace

Result<ControlClient> ControlClient::connect(const std::string& path) {
  std::string where = path;
  if (where.empty()) {
    CAIRN_ASSIGN(where, default_control_path());
  }
  CAIRN_ASSIGN(FileDescriptor socket, daemon::connect_control(where));
  FileDescriptor process = process_behind(socket.get());
  return ControlClient(std::move(socket), std::move(process));
}

Result<Json> ControlClient::ask(const Json& request, std::optional<std::int64_t> limit_ms, Signals& signals) {
  CAIRN_TRY(send_all(socket_.get(), request.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n"));
  std::optional<std::int64_t> until_ms;
  if (limit_ms) until_ms = monotonic_ms() + *limit_ms;
  while (true) {
    if (const std::size_t end = read_.find('\n'); end != std::string::npos) {
      const std::string line = read_.substr(0, end);
      read_.erase(0, end + 1);
      return daemon::parse_answer(line);
    }
    CAIRN_ASSIGN(const bool readable, wait_readable(socket_.get(), until_ms, signals));
    if (!readable) return Error(ErrorKind::retry_later, "the running cairn does not answer");
    std::array<char, 64 << 10> bytes;
    const ssize_t got = ::recv(socket_.get(), bytes.data(), bytes.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return Error(ErrorKind::io,
        "the running cairn has ended, or let go of this connection, without an answer");
    read_.append(bytes.data(), static_cast<std::size_t>(got));
  }
}

Result<void> ControlClient::wait_for_end(Signals& signals) {
  if (!process_.is_open()) return {};
  CAIRN_TRY(wait_readable(process_.get(), std::nullopt, signals));
  return {};
}

void add_control_option(CLI::App& command, std::string& path) {
  command.add_option("--control", path,
                     "where the running cairn listens (control in [defaults]).\n"
                     "Default: $CAIRN_CONTROL, else /run/cairn/cairn.sock for\n"
                     "root, else $XDG_RUNTIME_DIR/cairn.sock")
      ->type_name("PATH");
}

Result<std::string> absolute_database(const std::string& database) {
  std::error_code error;
  const std::filesystem::path absolute = std::filesystem::absolute(database, error);
  if (error || database.empty()) return Error(ErrorKind::invalid,
      "'" + database + "' is not the name of a database file");
  std::string path = absolute.lexically_normal().string();
  if (is_utf8(path)) return path;
  return Error(ErrorKind::unsupported,
      "the name is not UTF-8, and the control socket carries nothing else: name it in the "
                                       "configuration by a pattern");
}

Result<Json> ask_of_database(ControlClient& client, Json request, const std::string& database,
                             std::optional<std::int64_t> limit_ms, Signals& signals) {
  CAIRN_ASSIGN(const std::string path, absolute_database(database));
  request["database"] = path;
  Result<Json> answer = client.ask(request, limit_ms, signals);
  const std::string real = real_path(path);
  if (answer || answer.error().kind() != ErrorKind::not_found || real == path) return answer;
  request["database"] = real;
  Result<Json> of_real = client.ask(request, limit_ms, signals);
  return of_real || of_real.error().kind() != ErrorKind::not_found ? of_real : answer;
}

}  // namespace cairn::cli
