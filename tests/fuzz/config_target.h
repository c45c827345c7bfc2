// What must hold for any text at all that stands where a configuration is expected. Run by libFuzzer (config_fuzz.cc)
// and over the seeds by the ordinary tests (config_fuzz_test.cc).
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/check.h"
#include "daemon/config.h"
#include "daemon/store_url.h"

namespace cairn::fuzz {

inline void check_database(const daemon::DatabaseEntry& entry) {
  CAIRN_CHECK(entry.line > 0 && entry.settings.interval_ms >= 0 && entry.settings.spool_limit_bytes > 0);
  if (entry.path.empty()) {
    CAIRN_CHECK(entry.directory.starts_with('/') && !entry.pattern.empty() && entry.pattern.front() != '/');
    CAIRN_CHECK(!entry.pattern.ends_with("**"));
    return;
  }
  CAIRN_CHECK(entry.path.starts_with('/') && entry.path.find('\0') == std::string::npos);
  // Where it goes is a place.
  const auto url = daemon::replica_url(entry, entry.path, "");
  CAIRN_CHECK(url && daemon::place_of(*url));
}

inline void fuzz_config(ByteView bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const auto config = daemon::parse_config(text, "f", [](const std::string& name) -> std::optional<std::string> {
    if (name.size() % 2 == 0) return std::nullopt;
    return name.size() % 3 == 0 ? "" : "/" + name;
  });
  if (!config) {
    CAIRN_CHECK(config.error().kind() == ErrorKind::invalid && config.error().message().starts_with("f"));
    return;
  }
  const bool may_grow = !config->control.empty() && config->control != "off";  // by what is registered
  CAIRN_CHECK(!config->databases.empty() || !config->layers.empty() || may_grow);
  for (const daemon::DatabaseEntry& entry : config->databases) check_database(entry);
  for (const daemon::LayerEntry& entry : config->layers) {
    CAIRN_CHECK(!entry.name.empty() && entry.directory.starts_with('/') && daemon::place_of(entry.url));
    CAIRN_CHECK(entry.settings.interval_ms > 0 && entry.settings.part_size_bytes > 0);
  }
}

}  // namespace cairn::fuzz
