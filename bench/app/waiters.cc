// Applications that wait: for a commit to appear in the store (quiet), for their own checkpoints (checkpoints), and for
// the disk alone (put).
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <optional>
#include <stop_token>
#include <thread>

#include "programs.h"

namespace bench {
namespace {

// Tells when a file gets its name in a directory: linked, or renamed into it.
class Arrivals {
 public:
  explicit Arrivals(const std::string& directory) : fd_(inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) {
    if (fd_ < 0 || inotify_add_watch(fd_, directory.c_str(), IN_CREATE | IN_MOVED_TO) < 0) {
      die("cannot watch " + directory);
    }
  }
  ~Arrivals() { close(fd_); }
  Arrivals(const Arrivals&) = delete;
  Arrivals& operator=(const Arrivals&) = delete;

  void forget() {
    while (names() > 0) {
    }
  }
  // False: nothing within `wait_ms`.
  bool wait(int wait_ms) {
    for (const Stopwatch watch; watch.us() < wait_ms * 1000;) {
      pollfd polled{fd_, POLLIN, 0};
      if (poll(&polled, 1, wait_ms) > 0 && names() > 0) return true;
    }
    return false;
  }

 private:
  // Events read that are not of hidden files.
  int names() {
    alignas(inotify_event) std::array<char, 4096> buffer;
    const ssize_t got = read(fd_, buffer.data(), buffer.size());
    int count = 0;
    for (ssize_t at = 0; at < got;) {
      const auto* event = reinterpret_cast<const inotify_event*>(buffer.data() + at);
      if (event->len > 0 && event->name[0] != '.') ++count;
      at += static_cast<ssize_t>(sizeof(inotify_event)) + event->len;
    }
    return count;
  }

  const int fd_;
};

void commit_one(Database& database, Text& text) {
  Statement insert(database, "INSERT INTO notes (owner, body, changed) VALUES (?1, ?2, 0)");
  const std::string owner = text.id(), body = text.note();
  insert.bind(1, owner).bind(2, body).run();
}

}  // namespace

// The first commit after each pause, from the moment that COMMIT has returned.
std::string quiet(const std::string& path, const Options& options) {
  Database database(path, options.text("sync", "normal"));
  Text text(4);
  Arrivals arrivals(options.text("watch", ""));
  const std::chrono::milliseconds pause(options.number("pause-ms", 1500));
  std::vector<double> commit_ms, published_ms;
  for (std::int64_t left = options.number("count", 20); left > 0; --left) {
    std::this_thread::sleep_for(pause);
    arrivals.forget();
    const Stopwatch commit;
    commit_one(database, text);
    commit_ms.push_back(static_cast<double>(commit.us()) / 1000);
    const Stopwatch publish;
    if (!arrivals.wait(30'000)) die("nothing was published within 30 s of a commit");
    published_ms.push_back(static_cast<double>(publish.us()) / 1000);
  }
  return fmt::format(R"({{"commit_ms": {}, "published_ms": {}}})", summary(commit_ms), summary(published_ms));
}

// What a directory store does at least: a file under another name, fsync, its name, fsync of the folder.
std::string put(const std::string& directory, const Options& options) {
  const std::string bytes(static_cast<std::size_t>(options.number("bytes", 1000)), 'x');
  const std::chrono::milliseconds pause(options.number("pause-ms", 100));
  const int folder = open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  std::vector<double> ms, file_ms;
  for (std::int64_t i = 0; i < options.number("count", 20); ++i) {
    std::this_thread::sleep_for(pause);
    const std::string partial = directory + "/.partial", name = fmt::format("{}/put-{}-{}", directory, getpid(), i);
    const Stopwatch watch;
    const int file = open(partial.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    if (file < 0 || ::write(file, bytes.data(), bytes.size()) < 0 || fsync(file) != 0) die("cannot write " + partial);
    file_ms.push_back(static_cast<double>(watch.us()) / 1000);
    close(file);
    if (link(partial.c_str(), name.c_str()) != 0 || fsync(folder) != 0) die("cannot link " + name);
    ms.push_back(static_cast<double>(watch.us()) / 1000);
    unlink(partial.c_str());
    unlink(name.c_str());
  }
  close(folder);
  return fmt::format(R"({{"put_ms": {}, "first_fsync_ms": {}}})", summary(ms), summary(file_ms));
}

// A checkpoint that somebody else is in the way of answers busy = 1 after the time-out: it and its time are counted.
std::string checkpoints(const std::string& path, const Options& options) {
  Database database(path, "normal");
  make_notes(database);
  Text text(5);
  const bool beside = options.text("writer", "no") == "yes";
  std::jthread writer;
  if (beside) {
    writer = std::jthread([&path](std::stop_token stop) {
      Database other(path, "normal");
      Text words(6);
      while (!stop.stop_requested()) {
        commit_one(other, words);
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
      }
    });
  }
  const std::string sql = "PRAGMA wal_checkpoint(" + options.text("mode", "truncate") + ")";
  const std::int64_t commits = options.number("commits", 50);
  std::vector<double> ms, longest_commit_ms;
  std::int64_t busy = 0;
  for (std::int64_t left = options.number("count", 50); left > 0; --left) {
    double longest = 0;
    for (std::int64_t i = 0; i < commits; ++i) {
      const Stopwatch commit;
      commit_one(database, text);
      longest = std::max(longest, static_cast<double>(commit.us()) / 1000);
    }
    longest_commit_ms.push_back(longest);
    const Stopwatch watch;
    busy += database.number(sql);
    ms.push_back(static_cast<double>(watch.us()) / 1000);
  }
  return fmt::format(R"({{"checkpoint_ms": {}, "busy": {}, "longest_commit_ms": {}}})", summary(ms), busy,
                     summary(longest_commit_ms));
}

}  // namespace bench
