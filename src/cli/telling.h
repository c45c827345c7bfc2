// The HTTP port of a configured replication: opened, moved and closed as [http] says.
#pragma once

#include "cli/log.h"

#include <memory>
#include <optional>

#include "base/clock.h"
#include "daemon/fleet.h"
#include "daemon/http_settings.h"
#include "web/http_server.h"

namespace cairn::cli {

// By one thread.
class Telling {
 public:
  // Both outlive it.
  Telling(const daemon::Fleet& fleet, const Log& log) : fleet_(fleet), log_(log) {}

  // What is there already, with the same settings, stays. A port that cannot be had keeps nothing from being
  // replicated: it is told, and tried again.
  void want(const std::optional<daemon::HttpSettings>& settings);
  void try_again() {
    if (wanted_ && !server_) open();
  }

 private:
  void open();

  const daemon::Fleet& fleet_;
  const Log& log_;
  SystemRandom random_;
  std::optional<daemon::HttpSettings> wanted_;
  std::unique_ptr<web::HttpServer> server_;
  bool has_complained_ = false;
};

}  // namespace cairn::cli
