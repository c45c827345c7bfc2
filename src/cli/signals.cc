#include "cli/signals.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>

namespace cairn::cli {

namespace {

sigset_t waited_for() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGCHLD);
  // Under nohup a SIGHUP is ignored, and stays so.
  struct sigaction action{};
  if (::sigaction(SIGHUP, nullptr, &action) != 0 || action.sa_handler != SIG_IGN) sigaddset(&set, SIGHUP);
  return set;
}

}  // namespace

Result<Signals> Signals::open() {
  Signals signals;
  const sigset_t set = waited_for();
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  ::signal(SIGPIPE, SIG_IGN);  // a reader of our output that goes away must not end replication
  signals.signals_ = FileDescriptor(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals.signals_.is_open()) return os_error(errno, "making a signalfd");
  signals.bell_ = FileDescriptor(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!signals.bell_.is_open()) return os_error(errno, "making an eventfd");
  return signals;
}

std::optional<Event> Signals::wait(int timeout_ms) {
  std::array<pollfd, 2> waiting{{{signals_.get(), POLLIN, 0}, {bell_.get(), POLLIN, 0}}};
  if (::poll(waiting.data(), waiting.size(), timeout_ms) <= 0) return std::nullopt;
  signalfd_siginfo info{};
  if (waiting[0].revents != 0 && ::read(signals_.get(), &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
    if (info.ssi_signo == SIGCHLD) return Event{Event::Kind::child_ended};
    const Sender sender = info.ssi_code == SI_KERNEL ? Sender::terminal : Sender::process;
    return Event{Event::Kind::signal, static_cast<int>(info.ssi_signo), sender};
  }
  std::uint64_t rings = 0;
  if (waiting[1].revents != 0 && ::read(bell_.get(), &rings, sizeof rings) == static_cast<ssize_t>(sizeof rings)) {
    return Event{Event::Kind::rung};
  }
  return std::nullopt;
}

void Signals::ring() const {
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(bell_.get(), &one, sizeof one);
}

}  // namespace cairn::cli
