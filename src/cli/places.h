// Where things are: URLs of replicas, the real paths of databases, the folder of a replica's local state.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "cairn/error.h"
#include "daemon/store_url.h"

namespace cairn::cli {

using daemon::join_url;

// One name for one place: of a folder without symbolic links, of an S3 store with the server that it is on and without
// other options. `given` is what the user wrote, `store_url` what the store makes of it.
std::string canonical_url(const std::string& given, const std::string& store_url);

// `text` as one word of a shell's command line.
std::string shell_word(const std::string& text);

// The path without symbolic links; what does not exist yet stays as written.
std::string real_path(const std::string& path);
std::string file_name(const std::string& path);

// Where local state lies unless the user says otherwise: /var/lib/cairn for root, else $XDG_STATE_HOME/cairn or
// ~/.local/state/cairn. invalid: there is no home either.
Result<std::string> default_state_root();

// Where what can be found out again lies: /var/cache/cairn for root, else $XDG_CACHE_HOME/cairn or ~/.cache/cairn.
// invalid: there is no home either.
Result<std::string> default_cache_root();

// Where a daemon's control socket lies unless somebody says otherwise: CAIRN_CONTROL, else /run/cairn/cairn.sock for
// root,
// else $XDG_RUNTIME_DIR/cairn.sock, else cairn.sock where local state lies. invalid: there is no home either.
Result<std::string> default_control_path();

// 16 hexadecimal digits that stand for a database and its replica. They must not change from one version of Cairn to
// the next: local state would be lost.
std::string pair_hash(std::string_view database, std::string_view replica_url);

// One folder a database and replica.
std::string state_directory(const std::string& root, const std::string& real_database, std::string_view replica_url);

}  // namespace cairn::cli
