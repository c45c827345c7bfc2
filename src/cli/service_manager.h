// What a service manager is told of this process (systemd's sd_notify, Type=notify and WatchdogSec). Without one that
// listens, nothing happens.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace cairn::cli {

class ServiceManager {
 public:
  ServiceManager();

  void tell_ready(const std::string& status) const;
  void tell_reloading(std::int64_t mono_us) const;  // tell_ready() ends it
  // It ends within `limit_ms`: as long as that is not over, it is not to be killed.
  void tell_stopping(std::int64_t limit_ms) const;
  void tell_status(const std::string& status) const;
  // All is alive. To be said at least every beat_ms(); none: nobody waits for it.
  void beat() const;
  std::optional<std::int64_t> beat_ms() const { return beat_ms_; }

 private:
  std::optional<std::int64_t> beat_ms_;
};

}  // namespace cairn::cli
