// The commands. Each adds itself to the command line, and sets `run` when it was chosen.
#pragma once

#include <spdlog/logger.h>

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <vector>

namespace cairn::cli {

class Signals;

// What main has made for all of them.
struct Tools {
  Signals& signals;
  spdlog::logger& log;
  std::vector<std::string> behind_dashes;  // what stands behind "--": a program and its arguments
};

// Returns the exit status.
using Run = std::function<int(const Tools&)>;

void add_replicate(CLI::App& app, Run& run);
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
void add_version(CLI::App& app, Run& run);

}  // namespace cairn::cli
