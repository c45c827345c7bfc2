// The commands. Each adds itself to the command line, and sets `run` when it was chosen.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "cli/log.h"

namespace CLI {
class App;
}

namespace cairn::cli {

class Signals;

// What main has made for all of them.
struct Tools {
  Signals& signals;
  const Log& log;
  std::vector<std::string> behind_dashes;  // what stands behind "--": a program and its arguments
};

// Returns the exit status.
using Run = std::function<int(const Tools&)>;

void add_replicate(CLI::App& app, Run& run);
void add_status(CLI::App& app, Run& run);
void add_sync(CLI::App& app, Run& run);
void add_register(CLI::App& app, Run& run);  // and unregister
void add_stop(CLI::App& app, Run& run);      // and reload
void add_snapshot(CLI::App& app, Run& run);
void add_restore(CLI::App& app, Run& run);
void add_list(CLI::App& app, Run& run);
void add_history(CLI::App& app, Run& run);
void add_verify(CLI::App& app, Run& run);
void add_compact(CLI::App& app, Run& run);
void add_prune(CLI::App& app, Run& run);
void add_layer(CLI::App& app, Run& run);
void add_store(CLI::App& app, Run& run);
void add_config(CLI::App& app, Run& run);
void add_completion(CLI::App& app, Run& run);
void add_manual(CLI::App& app, Run& run);
void add_version(CLI::App& app, Run& run);

// All of them: runs what `arguments`, without the program's name, ask for. Returns the exit status.
int run_command_line(std::vector<std::string> arguments);

}  // namespace cairn::cli
