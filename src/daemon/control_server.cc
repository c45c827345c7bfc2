// One thread in poll(). Nothing tells it that something that was asked for is done: while somebody waits it looks,
// first
// after 2 ms and then less and less often, up to five times a second. While nobody does, it sleeps.
#include "daemon/control_server.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <list>
#include <thread>
#include <utility>
#include <vector>

#include "base/mutex.h"

namespace cairn::daemon {

namespace {

constexpr std::int64_t kFirstLookMs = 2, kLongestLookMs = 200;
constexpr std::int64_t kLastWordsMs = 2'000;  // at the end, for answers to be read
constexpr std::size_t kReadBytes = 16 << 10;

struct AskedFor {
  ControlJson id;
  std::unique_ptr<Underway> work;           // null: waits for the end
  std::optional<std::int64_t> until_ms;
};

struct Connection {
  FileDescriptor socket;
  std::string in, out;       // not yet taken apart; not yet sent
  std::list<AskedFor> asked;
  bool ends = false;         // once `out` is sent: nothing more is read
  bool is_closed = false;
  std::int64_t heard_ms = 0;  // when the last byte came, or the last answer went
  std::int64_t line_ms = 0;   // when the line in `in` began
  std::int64_t sent_ms = 0;   // when something of `out` was sent last, or it began
};

class PollingServer final : public ControlServer {
 public:
  PollingServer(ControlSocket socket, FileDescriptor bell, ControlledFleet& fleet, Clock& clock,
                const ControlLimits& limits)
      : socket_(std::move(socket)), bell_(std::move(bell)), fleet_(fleet), clock_(clock), limits_(limits),
        thread_([this] { serve(); }) {}
  ~PollingServer() override {
    finish(Error(ErrorKind::cancelled, "this cairn has ended"));
    thread_.join();
  }
  void finish(const Result<void>& outcome) override EXCLUDES(mutex_) {
    {
      MutexLock lock(mutex_);
      if (!outcome_) outcome_ = outcome;
    }
    finished_ = true;
    ring();
  }

 private:
  void serve();
  int wait_ms(std::int64_t now_ms) const;
  bool is_read_from(const Connection& one) const { return !one.ends && may_ask(one); }
  bool may_ask(const Connection& one) const;
  bool has_asked(const Connection& one) const { return may_ask(one) && one.in.find('\n') != std::string::npos; }
  void accept_new(std::int64_t now_ms);
  void receive(Connection& one, std::int64_t now_ms);
  void take_lines(Connection& one, std::int64_t now_ms);
  void answer(Connection& one, std::string_view line, std::int64_t now_ms);
  void begin(Connection& one, ControlJson id, const ControlRequest& request, std::int64_t now_ms);
  void look_at_asked(Connection& one, std::int64_t now_ms);
  void say(Connection& one, const std::string& line, std::int64_t now_ms);
  void refuse(Connection& one, const Error& error, std::int64_t now_ms);
  void send(Connection& one, std::int64_t now_ms);
  void give_up_on_slow(Connection& one, std::int64_t now_ms);
  void say_last_words() EXCLUDES(mutex_);
  void ring() const {
    const std::uint64_t one = 1;
    (void)!::write(bell_.get(), &one, sizeof one);
  }
  std::int64_t now_ms() const { return clock_.now().mono_us / 1000; }
  std::size_t unsent() const {
    std::size_t bytes = 0;
    for (const Connection& one : connections_) bytes += one.out.size();
    return bytes;
  }
  bool somebody_waits() const {
    return std::any_of(connections_.begin(), connections_.end(), [](const Connection& one) {
      return std::any_of(one.asked.begin(), one.asked.end(), [](const AskedFor& each) { return each.work != nullptr; });
    });
  }

  const ControlSocket socket_;
  const FileDescriptor bell_;
  ControlledFleet& fleet_;
  Clock& clock_;
  const ControlLimits limits_;
  std::list<Connection> connections_;  // of the thread
  std::int64_t look_ms_ = kFirstLookMs;
  std::int64_t no_accept_until_ms_ = 0;
  std::atomic<bool> finished_ = false;
  Mutex mutex_;
  std::optional<Result<void>> outcome_ GUARDED_BY(mutex_);
  std::thread thread_;
};

void PollingServer::serve() {
  while (!finished_) {
    std::int64_t now = now_ms();
    std::vector<pollfd> polled{{bell_.get(), POLLIN, 0}, {socket_.descriptor(), POLLIN, 0}};
    if (now < no_accept_until_ms_) polled[1].fd = -1;
    for (const Connection& one : connections_) {
      short events = is_read_from(one) ? POLLIN : 0;
      if (!one.out.empty()) events |= POLLOUT;
      polled.push_back({one.socket.get(), events, 0});
    }
    ::poll(polled.data(), polled.size(), wait_ms(now));
    now = now_ms();
    std::size_t i = 2;
    for (Connection& one : connections_) {
      const short got = polled[i++].revents;
      if (got & POLLIN) receive(one, now);
      // Nobody is there any more: what it asked for need not be waited for.
      if ((got & (POLLERR | POLLNVAL)) || ((got & POLLHUP) && !(got & POLLIN))) one.is_closed = true;
      take_lines(one, now);
      look_at_asked(one, now);
      send(one, now);
      give_up_on_slow(one, now);
    }
    connections_.remove_if([](const Connection& one) { return one.is_closed; });
    look_ms_ = somebody_waits() ? std::min(look_ms_ * 2, kLongestLookMs) : kFirstLookMs;
    if (polled[1].revents & POLLIN) accept_new(now);
  }
  say_last_words();
}

// Until something may be due.
int PollingServer::wait_ms(std::int64_t now_ms) const {
  std::int64_t least = 3'600'000;
  for (const Connection& one : connections_) {
    if (has_asked(one)) return 0;  // and it has become its turn
    if (!one.in.empty() && is_read_from(one)) least = std::min(least, one.line_ms + limits_.line_timeout_ms - now_ms);
    if (!one.out.empty()) least = std::min(least, one.sent_ms + limits_.unread_timeout_ms - now_ms);
    if (one.asked.empty()) least = std::min(least, one.heard_ms + limits_.silence_timeout_ms - now_ms);
  }
  if (somebody_waits()) least = std::min(least, look_ms_);
  if (no_accept_until_ms_ > now_ms) least = std::min(least, no_accept_until_ms_ - now_ms);
  return static_cast<int>(std::max<std::int64_t>(least, 0)) + 1;
}

bool PollingServer::may_ask(const Connection& one) const {
  return !one.is_closed && one.out.empty() && one.asked.size() < limits_.requests_of_one &&
         unsent() < limits_.unsent_bytes;
}

void PollingServer::accept_new(std::int64_t now_ms) {
  FileDescriptor socket(::accept4(socket_.descriptor(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket.is_open()) {
    // Out of descriptors: it stays in the backlog, and is not asked about in a circle.
    if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR) no_accept_until_ms_ = now_ms + 1'000;
    return;
  }
  Connection& one = connections_.emplace_back();
  one.socket = std::move(socket);
  one.heard_ms = one.line_ms = one.sent_ms = now_ms;
  if (!is_peer_allowed(one.socket.get())) {
    refuse(one, Error(ErrorKind::denied, "only the user that this cairn runs as, and root, may ask it"), now_ms);
  } else if (connections_.size() > limits_.connections) {
    refuse(one, Error(ErrorKind::busy, fmt::format("there are {} connections already: try again", limits_.connections)),
           now_ms);
  } else {
    return;
  }
  send(one, now_ms);
  connections_.pop_back();
}

void PollingServer::receive(Connection& one, std::int64_t now_ms) {
  std::array<char, kReadBytes> bytes;
  const ssize_t got = ::recv(one.socket.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got < 0) {
    one.is_closed = true;
  } else if (got == 0) {
    // It has said all, and may still read: answers that are on their way are given.
    one.ends = true;
    if (one.asked.empty() && one.out.empty()) one.is_closed = true;
  } else {
    if (one.in.empty()) one.line_ms = now_ms;
    one.heard_ms = now_ms;
    one.in.append(bytes.data(), static_cast<std::size_t>(got));
  }
}

void PollingServer::take_lines(Connection& one, std::int64_t now_ms) {
  // One at a time: while an answer is not sent, or too many wait for theirs, what else was asked stays where it is.
  std::size_t from = 0;
  bool too_long = false;
  while (may_ask(one)) {
    const std::size_t end = one.in.find('\n', from);
    if (end == std::string::npos) break;
    std::string_view line(one.in.data() + from, end - from);
    if (line.ends_with('\r')) line.remove_suffix(1);
    too_long = line.size() > kLongestRequest;
    if (too_long) break;
    from = end + 1;
    one.line_ms = now_ms;
    if (!line.empty()) answer(one, line, now_ms);
    send(one, now_ms);
  }
  one.in.erase(0, from);
  if (one.in.find('\n') == std::string::npos) too_long = one.in.size() > kLongestRequest + 1;
  if (!too_long || one.is_closed) return;
  one.in.clear();
  refuse(one, Error(ErrorKind::invalid, fmt::format("a line of more than {} bytes is no request", kLongestRequest)),
         now_ms);
}

void PollingServer::answer(Connection& one, std::string_view line, std::int64_t now_ms) {
  ControlJson id;
  const Result<ControlRequest> request = parse_request(line, id);
  if (!request) return say(one, error_line(id, request.error()), now_ms);
  begin(one, std::move(id), *request, now_ms);
}

void PollingServer::begin(Connection& one, ControlJson id, const ControlRequest& request, std::int64_t now_ms) {
  using Asked = ControlRequest::Command;
  std::unique_ptr<Underway> work;
  switch (request.command) {
    case Asked::status: {
      Result<ControlJson> status = status_result(fleet_.view(), request.databases);
      return say(one, status ? result_line(id, std::move(*status)) : error_line(id, status.error()), now_ms);
    }
    case Asked::sync: {
      work = fleet_.sync(request.database);
      if (request.wait) break;
      const std::optional<Result<Underway::Done>> refused = work->look();
      if (refused && !*refused) return say(one, error_line(id, refused->error()), now_ms);
      return say(one, result_line(id, {{"database", request.database}, {"requested", true}}), now_ms);
    }
    case Asked::register_database: work = fleet_.register_database(request.registration); break;
    case Asked::unregister_database: work = fleet_.unregister_database(request.database); break;
    case Asked::reload: work = fleet_.reload(); break;
    case Asked::stop:
      fleet_.stop();
      if (request.wait) break;
      return say(one, result_line(id, {{"stopping", true}}), now_ms);
  }
  std::optional<std::int64_t> until_ms;
  if (request.timeout_ms) until_ms = now_ms + *request.timeout_ms;
  one.asked.push_back({std::move(id), std::move(work), until_ms});
  look_ms_ = kFirstLookMs;
}

void PollingServer::look_at_asked(Connection& one, std::int64_t now_ms) {
  for (auto each = one.asked.begin(); each != one.asked.end() && !one.is_closed;) {
    std::optional<Result<Underway::Done>> done = each->work ? each->work->look() : std::nullopt;
    if (!done && each->until_ms && now_ms >= *each->until_ms) done = each->work->why_not_yet();
    if (!done) {
      ++each;
      continue;
    }
    if (*done) {
      ControlJson result = ControlJson::object();
      if ((*done)->sequence) result["sequence"] = *(*done)->sequence;
      if (!(*done)->message.empty()) result["message"] = (*done)->message;
      say(one, result_line(each->id, std::move(result)), now_ms);
    } else {
      say(one, error_line(each->id, done->error()), now_ms);
    }
    each = one.asked.erase(each);
  }
}

void PollingServer::say(Connection& one, const std::string& line, std::int64_t now_ms) {
  if (one.out.empty()) one.sent_ms = now_ms;
  one.heard_ms = now_ms;
  one.out += line;
}

void PollingServer::refuse(Connection& one, const Error& error, std::int64_t now_ms) {
  say(one, error_line(nullptr, error), now_ms);
  one.asked.clear();
  one.ends = true;
}

void PollingServer::send(Connection& one, std::int64_t now_ms) {
  while (!one.out.empty() && !one.is_closed) {
    const ssize_t sent = ::send(one.socket.get(), one.out.data(), one.out.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno == EAGAIN) return;
    if (sent < 0) {
      one.is_closed = true;
      return;
    }
    one.out.erase(0, static_cast<std::size_t>(sent));
    one.sent_ms = now_ms;
  }
  if (one.ends && one.asked.empty() && one.in.find('\n') == std::string::npos) one.is_closed = true;
}

void PollingServer::give_up_on_slow(Connection& one, std::int64_t now_ms) {
  if (one.is_closed) return;
  if (!one.out.empty()) {
    if (now_ms - one.sent_ms > limits_.unread_timeout_ms) one.is_closed = true;
    return;
  }
  // A line that waits for its turn is not late.
  if (!one.in.empty() && is_read_from(one) && now_ms - one.line_ms > limits_.line_timeout_ms) {
    one.in.clear();
    refuse(one, Error(ErrorKind::invalid, "the line that was begun has no end: end each with a line feed"), now_ms);
    return send(one, now_ms);
  }
  if (one.asked.empty() && now_ms - one.heard_ms > limits_.silence_timeout_ms) one.is_closed = true;
}

// Answers all that wait, and sees to it that they are sent, within a moment.
void PollingServer::say_last_words() {
  Result<void> outcome;
  {
    MutexLock lock(mutex_);
    outcome = *outcome_;
  }
  const std::int64_t until_ms = now_ms() + kLastWordsMs;
  const Error ended(ErrorKind::cancelled, "this cairn has ended before it was done");
  for (Connection& one : connections_) {
    look_at_asked(one, now_ms());
    for (const AskedFor& each : one.asked) {
      if (each.work) say(one, error_line(each.id, ended), now_ms());
      else if (outcome) say(one, result_line(each.id, {{"stopped", true}}), now_ms());
      else say(one, error_line(each.id, outcome.error()), now_ms());
    }
    one.asked.clear();
    one.in.clear();
    one.ends = true;
    send(one, now_ms());
  }
  while (now_ms() < until_ms) {
    connections_.remove_if([](const Connection& one) { return one.is_closed; });
    if (connections_.empty()) return;
    std::vector<pollfd> polled;
    for (const Connection& one : connections_) polled.push_back({one.socket.get(), POLLOUT, 0});
    ::poll(polled.data(), polled.size(), static_cast<int>(until_ms - now_ms()) + 1);
    for (Connection& one : connections_) send(one, now_ms());
  }
}

}  // namespace

Result<std::unique_ptr<ControlServer>> ControlServer::open(const std::string& path, ControlledFleet& fleet,
                                                           Clock& clock, FileSystem& files,
                                                           const ControlLimits& limits) {
  CAIRN_ASSIGN(ControlSocket socket, ControlSocket::listen(path, files));
  FileDescriptor bell(::eventfd(0, EFD_CLOEXEC));
  if (!bell.is_open()) return os_error(errno, "making an eventfd");
  return std::unique_ptr<ControlServer>(
      std::make_unique<PollingServer>(std::move(socket), std::move(bell), fleet, clock, limits));
}

}  // namespace cairn::daemon
