#include "daemon/notifier.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <ctime>
#include <utility>

namespace cairn::daemon {

namespace {

constexpr std::int64_t kUsPerSecond = 1'000'000;

}  // namespace

Result<Notifier> Notifier::open(AddWatch add_watch) {
  FileDescriptor bell(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!bell.is_open()) return os_error(errno, "making an eventfd");
  Notifier notifier = of_files_alone(add_watch);
  notifier.bell_ = std::move(bell);
  return notifier;
}

Notifier Notifier::of_files_alone(AddWatch add_watch) {
  Notifier notifier;
  notifier.add_watch_ = add_watch;
  notifier.inotify_ = FileDescriptor(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!notifier.inotify_.is_open()) notifier.error_ = errno;
  return notifier;
}

int Notifier::add(const std::string& path, std::uint32_t mask) const {
  int watch = 0;
  return add(path, mask, watch);
}

int Notifier::add(const std::string& path, std::uint32_t mask, int& watch) const {
  watch = add_watch_(inotify_.get(), path.c_str(), mask);
  return watch >= 0 ? 0 : errno;
}

void Notifier::remove(int watch) const { ::inotify_rm_watch(inotify_.get(), watch); }

Notifier::Wake Notifier::wait(std::int64_t timeout_us, WaitFor what, const Notifier* other) {
  // The kernel passes over a descriptor below 0.
  const int files = what == WaitFor::anything && is_watching() ? inotify_.get() : -1;
  const int others = other != nullptr && other->is_watching() ? other->inotify_.get() : -1;
  std::array<pollfd, 3> waiting{{{bell_.get(), POLLIN, 0}, {files, POLLIN, 0}, {others, POLLIN, 0}}};
  timeout_us = std::max<std::int64_t>(timeout_us, 0);
  const timespec timeout{static_cast<time_t>(timeout_us / kUsPerSecond),
                         static_cast<long>(timeout_us % kUsPerSecond * 1000)};
  const int ready = ::ppoll(waiting.data(), waiting.size(), &timeout, nullptr);
  if (ready <= 0) return Wake::timeout;  // a signal is as good as a timeout: the caller looks, and waits again
  if (waiting[0].revents != 0 && silence_bell()) return Wake::bell;
  if (waiting[1].revents != 0) return Wake::event;
  return waiting[2].revents != 0 ? Wake::other : Wake::timeout;
}

void Notifier::drain(const std::function<void(std::uint32_t mask, std::string_view name)>& see) {
  drain([&](int, std::uint32_t mask, std::string_view name) { see(mask, name); });
}

void Notifier::drain(const std::function<void(int watch, std::uint32_t mask, std::string_view name)>& see) {
  constexpr std::size_t kLargest = sizeof(inotify_event) + NAME_MAX + 1;
  alignas(inotify_event) std::array<char, 4096 + kLargest> buffer;
  bool is_full = is_watching();  // there may be more
  while (is_full) {
    const ssize_t got = ::read(inotify_.get(), buffer.data(), buffer.size());
    is_full = got > 0 && static_cast<std::size_t>(got) > buffer.size() - kLargest;
    for (std::size_t at = 0; got > 0 && at < static_cast<std::size_t>(got);) {
      inotify_event event;
      std::memcpy(&event, buffer.data() + at, sizeof event);
      see(event.wd, event.mask, event.len == 0 ? "" : buffer.data() + at + sizeof event);
      at += sizeof event + event.len;
    }
  }
}

bool Notifier::silence_bell() const {
  std::uint64_t rings = 0;
  return ::read(bell_.get(), &rings, sizeof rings) == static_cast<ssize_t>(sizeof rings);
}

void Notifier::ring() const {
  const std::uint64_t one = 1;
  // It fails only when the counter is full, and then the bell is ringing anyway.
  [[maybe_unused]] const ssize_t written = ::write(bell_.get(), &one, sizeof one);
}

std::filesystem::path resolved(const std::string& path) {
  std::error_code ignored;
  std::filesystem::path real = std::filesystem::weakly_canonical(path, ignored);
  return real.empty() ? std::filesystem::path(path) : real;
}

const char* inotify_remedy(int error_number) {
  if (error_number == ENOSPC) return ": raise fs.inotify.max_user_watches with sysctl";
  if (error_number == EMFILE) return ": raise fs.inotify.max_user_instances with sysctl";
  return "";
}

}  // namespace cairn::daemon
