#include "cli/service_manager.h"

#include <fmt/format.h>
#include <systemd/sd-daemon.h>

namespace cairn::cli {

namespace {

constexpr std::int64_t kSpareMs = 15'000;  // for closing what is open, after the limit of a stop

void tell(const std::string& lines) { ::sd_notify(0, lines.c_str()); }  // fails where nobody listens

}  // namespace

ServiceManager::ServiceManager() {
  std::uint64_t limit_us = 0;
  if (::sd_watchdog_enabled(0, &limit_us) > 0) beat_ms_ = static_cast<std::int64_t>(limit_us / 1000 / 2);
}

void ServiceManager::tell_ready(const std::string& status) const { tell("READY=1\nSTATUS=" + status); }
void ServiceManager::tell_status(const std::string& status) const { tell("STATUS=" + status); }
void ServiceManager::beat() const { tell("WATCHDOG=1"); }

void ServiceManager::tell_reloading(std::int64_t mono_us) const {
  tell(fmt::format("RELOADING=1\nMONOTONIC_USEC={}", mono_us));
}

void ServiceManager::tell_stopping(std::int64_t limit_ms) const {
  tell(fmt::format("STOPPING=1\nSTATUS=publishing what is captured\nEXTEND_TIMEOUT_USEC={}",
                   (limit_ms + kSpareMs) * 1000));
}

}  // namespace cairn::cli
