// cairn layer: containers' writable directories. One cmd_layer_*.cc a command, or a few small ones.
#include <CLI/CLI.hpp>

#include "cli/layers.h"

namespace cairn::cli {

namespace {

constexpr const char* kLayerTeaching = R"(A container's changes lie in one directory, the upperdir of its overlay mount:
  podman   podman inspect --format '{{.GraphDriver.Data.UpperDir}}' CONTAINER
  docker   docker inspect --format '{{.GraphDriver.Data.UpperDir}}' CONTAINER
  else     grep upperdir= /proc/mounts
A sync stores what has changed in it since the last one, as an OCI layer; each sync can be brought back.

Examples:
  cairn layer sync /var/lib/containers/.../diff --to s3://bucket/layers --name web_1
  cairn layer restore s3://bucket/layers --name web_1 -o /srv/web_1/upper
Each of the commands has its own --help, with examples.)";

}  // namespace

void add_layer(CLI::App& app, Run& run) {
  CLI::App* layer = app.add_subcommand("layer", "Keeps containers' writable directories in a store, sync by sync.");
  layer->footer(kLayerTeaching);
  add_layer_sync(*layer, run);
  add_layer_check(*layer, run);
  add_layer_watch(*layer, run);
  add_layer_restore(*layer, run);
  add_layer_list(*layer, run);
  add_layer_history(*layer, run);
  add_layer_verify(*layer, run);
  add_layer_prune(*layer, run);
  // Runs after the one of a command below it.
  layer->callback([layer, &run] {
    if (run) return;
    run = [help = layer->help("cairn")](const Tools&) {
      print_line(help);
      return kDone;
    };
  });
}

}  // namespace cairn::cli
