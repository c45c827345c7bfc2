// The configuration of everything that one process keeps replicated: TOML text in, values out.
//
// Nothing is looked at beside the text and the environment: no file, no store. Which databases a pattern means is found
// later and again and again (daemon/database_finder.h). docs/operations.md has the keys, docs/cairn.toml an example.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cairn/compactor.h"
#include "cairn/error.h"
#include "cairn/shared_spool.h"
#include "daemon/http_settings.h"
#include "store/cost.h"

namespace cairn::daemon {

using Environment = std::function<std::optional<std::string>(const std::string& name)>;

struct DatabaseSettings {
  std::int64_t interval_ms = 1000;
  bool wal_switch = true;
  std::uint64_t spool_limit_bytes = 100ull << 20;
  int segment_level = 1, snapshot_level = 3;
  std::optional<std::vector<std::int64_t>> level_windows_ms;  // none: default_level_windows_ms() of the store
  std::uint64_t kept_limit_bytes = 512ull << 20;
  std::int64_t snapshot_interval_ms = 86'400'000;
  bool restore_if_missing = false;  // of a path: before it is followed
  std::optional<PrunePolicy> retention = PrunePolicy();  // none: every state stays
};

// One [[database]]: a path, or a pattern that means any number of them.
struct DatabaseEntry {
  enum class To {
    beside,   // the folder <database>-cairn
    replica,  // `url` itself
    folder,   // below `url`, each database under its own name
  };
  std::string path;               // of one database; "": it is a pattern
  std::string directory, pattern; // below the directory, '/'-separated; "**" is any number of directories
  To to = To::beside;
  std::string url;
  DatabaseSettings settings;
  int line = 0;                   // where the entry begins
  bool is_registered = false;     // while it ran: the line is one of the file of those
};

struct LayerSettings {
  std::int64_t interval_ms = 30'000, quiet_ms = 2'000;
  std::string marks = "auto";     // auto, kernel, fuse-overlayfs
  bool databases_as_files = false, accept_hidden_attributes = false;
  std::uint64_t part_size_bytes = 64ull << 20, spool_limit_bytes = 256ull << 20;
  int uploads = 4, level = 3;
};

// One [[layer]].
struct LayerEntry {
  std::string name, directory, url;
  std::vector<std::string> lower;
  LayerSettings settings;
  int line = 0;
};

struct Config {
  std::string file;               // for messages
  std::string state_dir;          // "": the default
  std::int64_t stop_timeout_ms = 30'000;
  SharedSpool::Limits spool;      // of all databases together
  std::int64_t sleep_after_ms = 60'000;  // 0: never
  std::optional<PriceList> prices;
  std::string control;            // path of the control socket, or "off"; "": the default
  std::optional<HttpSettings> http;  // none: it tells nothing over HTTP
  std::vector<DatabaseEntry> databases;
  std::vector<LayerEntry> layers;
};

// invalid: the first mistake, as "FILE:LINE:COLUMN: what is wrong: what to write".
// `registered`: of what was added while it ran, in a file of its own ("": none), with the same defaults.
struct RegisteredText {
  std::string text, file;
};
Result<Config> parse_config(std::string_view text, const std::string& file, const Environment& environment,
                            const RegisteredText& registered = {});

// Of that text, state_dir in [defaults] alone; "": it does not say, or not rightly.
std::string state_dir_of(std::string_view text, const Environment& environment);

// The replica of a database of this entry; `below` is its path below the entry's directory, or its name.
Result<std::string> replica_url(const DatabaseEntry& entry, const std::string& path, const std::string& below);

}  // namespace cairn::daemon
