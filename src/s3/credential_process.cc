#include "s3/credential_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <thread>

#include "base/clock.h"
#include "base/os.h"
#include "s3/credentials_json.h"

namespace cairn::s3 {

namespace {

constexpr std::size_t kMaxOutputBytes = 1 << 20;

// A program and the end of the pipe that it prints into. Its group is killed and waited for when this is destroyed.
class Process {
 public:
  Process() = default;
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  ~Process() {
    if (id_ <= 0) return;
    ::kill(-id_, SIGKILL);
    int ignored = 0;
    while (::waitpid(id_, &ignored, 0) < 0 && errno == EINTR) {
    }
  }

  Result<void> start(const std::vector<std::string>& words);
  // Everything that it prints. False: the time is over, or it prints far too much.
  bool read_all(std::int64_t until_ms, std::string& output) const;
  // Its exit status, 128 + the signal that ended it; -1: the time is over.
  int wait_until(std::int64_t until_ms);

 private:
  pid_t id_ = 0;
  FileDescriptor output_;
};

Result<void> Process::start(const std::vector<std::string>& words) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return os_error(errno, "making a pipe");
  output_ = FileDescriptor(ends[0]);
  const FileDescriptor its_end(ends[1]);

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, its_end.get(), STDOUT_FILENO);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none, pipe_only;
  sigemptyset(&none);
  sigemptyset(&pipe_only);
  sigaddset(&pipe_only, SIGPIPE);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &pipe_only);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);

  std::vector<char*> argv;
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  const int error_number = ::posix_spawnp(&id_, argv[0], &actions, &attributes, argv.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (error_number == 0) return {};
  id_ = 0;
  return Error(ErrorKind::denied, std::strerror(error_number));
}

bool Process::read_all(std::int64_t until_ms, std::string& output) const {
  std::array<char, 4096> piece{};
  while (output.size() <= kMaxOutputBytes) {
    pollfd readable{output_.get(), POLLIN, 0};
    const std::int64_t left_ms = until_ms - monotonic_ms();
    if (left_ms <= 0) return false;
    if (::poll(&readable, 1, static_cast<int>(left_ms)) <= 0) continue;
    const ssize_t got = ::read(output_.get(), piece.data(), piece.size());
    if (got == 0) return true;
    if (got > 0) output.append(piece.data(), static_cast<std::size_t>(got));
    if (got < 0 && errno != EINTR) return false;
  }
  return false;
}

int Process::wait_until(std::int64_t until_ms) {
  constexpr auto kLook = std::chrono::milliseconds(5);  // it has closed its output: mostly it is gone already
  for (;;) {
    int status = 0;
    const pid_t ended = ::waitpid(id_, &status, WNOHANG);
    if (ended == id_) {
      id_ = 0;
      return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    if (monotonic_ms() >= until_ms) return -1;
    std::this_thread::sleep_for(kLook);
  }
}

// One character of a command; what it means depends on the quotes around it.
class Splitter {
 public:
  void take(char c);
  bool is_open() const { return quote_ != 0 || escaped_; }
  std::vector<std::string> finish() {
    end_word();
    return std::move(words_);
  }

 private:
  void end_word() {
    if (in_word_) words_.push_back(std::move(word_));
    word_.clear();
    in_word_ = false;
  }
  void add(char c) {
    word_.push_back(c);
    in_word_ = true;
  }

  std::vector<std::string> words_;
  std::string word_;
  bool in_word_ = false, escaped_ = false;
  char quote_ = 0;
};

void Splitter::take(char c) {
  if (escaped_) {
    // Between double quotes a backslash stands for itself before what needs none.
    if (quote_ == '"' && c != '"' && c != '\\') add('\\');
    add(c);
    escaped_ = false;
  } else if (c == '\\' && quote_ != '\'') {
    escaped_ = true;
  } else if (quote_ != 0) {
    if (c == quote_) quote_ = 0;
    else add(c);
  } else if (c == '"' || c == '\'') {
    quote_ = c;
    in_word_ = true;  // "" is a word
  } else if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
    end_word();
  } else {
    add(c);
  }
}

}  // namespace

Result<std::vector<std::string>> split_command(std::string_view command) {
  Splitter splitter;
  for (const char c : command) splitter.take(c);
  if (splitter.is_open()) return Error(ErrorKind::invalid, "credential_process has a quote that is not closed");
  std::vector<std::string> words = splitter.finish();
  if (words.empty() || words[0].empty()) return Error(ErrorKind::invalid, "credential_process names no program");
  return words;
}

Result<Credentials> run_credential_process(std::string_view command, std::int64_t limit_ms,
                                           const std::string& source) {
  CAIRN_ASSIGN(const std::vector<std::string> words, split_command(command));
  const auto failed = [&](const std::string& how) {
    return Error(ErrorKind::denied, fmt::format("{}: {} {}", source, words[0], how));
  };
  const std::int64_t until_ms = monotonic_ms() + limit_ms;
  Process process;
  if (const Result<void> started = process.start(words); !started) {
    return failed("cannot be started: " + started.error().message());
  }
  std::string output;
  if (!process.read_all(until_ms, output)) {
    return failed(output.size() > kMaxOutputBytes
                      ? std::string("prints more than a document of credentials")
                      : fmt::format("has not ended after {} seconds", limit_ms / 1000));
  }
  const int status = process.wait_until(until_ms);
  if (status < 0) return failed(fmt::format("has not ended after {} seconds", limit_ms / 1000));
  if (status != 0) return failed(fmt::format("failed with exit status {}: run it by hand to see why", status));
  Result<Credentials> credentials = parse_credentials_json(output, KeysOf::process, source);
  if (!credentials) return credentials.error().as(ErrorKind::denied);
  return credentials;
}

}  // namespace cairn::s3
