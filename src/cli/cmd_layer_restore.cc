// cairn layer restore URL --name NAME -o DIR: brings a sync of a container's directory back.
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <optional>

#include "base/clock.h"
#include "cli/layers.h"
#include "cli/progress.h"
#include "cli/stop_on_signal.h"

namespace cairn::cli {

namespace {

constexpr const char* kLayerRestoreExamples = R"(Examples:
  cairn layer restore s3://bucket/layers --name web_1 -o /srv/web/upper     the newest sync, to be mounted again
  cairn layer restore /backup/layers --name web_1 -o old --at '2026-11-21 08:00:00'
  cairn layer restore /backup/layers --name web_1 -o etc --path etc         one path, and what is below it
  cairn layer restore /backup/layers --name web_1 -o tree --as merged --lower /srv/image/rootfs
                                                                            what the container saw
  cairn layer restore /backup/layers --name web_1 -o image --as oci-layout  for skopeo, umoci, podman
  cairn layer restore /backup/layers --name web_1 --dry-run                 what would be fetched

A directory that is there stays as it was until the new one is complete and checked. After a restore of the newest sync
the directory can be synced under the same name, from this machine on.)";

struct LayerRestoreCommand {
  std::string url, name, output, at, form = "upper", compression, state_root;
  std::optional<std::uint64_t> sequence;
  std::optional<std::string> path;
  std::vector<std::string> lower;
  bool accept_hidden_attributes = false, overwrite = false, dry_run = false, user_marks = false, json = false;
};

Result<LayerRestoreOptions> restore_options_of(const LayerRestoreCommand& options) {
  LayerRestoreOptions restoring;
  restoring.sequence = options.sequence;
  restoring.path = options.path;
  restoring.lower = options.lower;
  if (options.accept_hidden_attributes) restoring.hidden_attributes = LayerHiddenAttributes::accept;
  restoring.overwrite = options.overwrite;
  restoring.dry_run = options.dry_run;
  restoring.user_marks = options.user_marks;
  if (options.form == "merged") restoring.form = LayerForm::merged;
  if (options.form == "oci-layout") restoring.form = LayerForm::oci_layout;
  if (options.compression == "gzip") restoring.compression = LayerCompression::gzip;
  if (options.compression == "zstd") restoring.compression = LayerCompression::zstd;
  if (restoring.compression && restoring.form != LayerForm::oci_layout) {
    return Error(ErrorKind::invalid, "--compression is for --as oci-layout: nothing else is compressed");
  }
  if (!options.at.empty()) {
    const Result<std::int64_t> time = parse_time(options.at);
    if (!time) return time.error().with("--at");
    restoring.at_ms = *time;
  }
  if (!options.lower.empty() && restoring.form != LayerForm::merged) {
    return Error(ErrorKind::invalid, "--lower is for --as merged: the directories below the restored one");
  }
  if (options.output.empty() && !options.dry_run) {
    return Error(ErrorKind::invalid, "where to? Name the directory with -o DIR, or ask for the plan with --dry-run");
  }
  return restoring;
}

// Local state that goes with the command.
class ScratchState {
 public:
  static Result<std::unique_ptr<ScratchState>> make() {
    std::error_code error;
    std::string path = (std::filesystem::temp_directory_path(error) / "cairn-restore-XXXXXX").string();
    if (error || ::mkdtemp(path.data()) == nullptr) {
      return Error(ErrorKind::io, "there is no place for temporary files: set TMPDIR");
    }
    return std::unique_ptr<ScratchState>(new ScratchState(path));
  }
  ~ScratchState() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  ScratchState(const ScratchState&) = delete;
  ScratchState& operator=(const ScratchState&) = delete;
  const std::string& path() const { return path_; }

 private:
  explicit ScratchState(std::string path) : path_(std::move(path)) {}
  const std::string path_;
};

struct Restorer {
  LayerStore at;
  std::unique_ptr<ScratchState> scratch;
  std::unique_ptr<LayerManager> manager;
};

// Only what may be synced on from here is worth keeping state for; and state that is not to be had (another process is
// at work with it, the place is read-only) keeps nobody from restoring.
Result<void> open_manager(const LayerRestoreCommand& options, const LayerRestoreOptions& restoring,
                          Restorer& restorer) {
  const bool goes_on = restoring.form == LayerForm::upper && !restoring.path && !restoring.dry_run;
  const auto open_in = [&](const std::string& directory) -> Result<void> {
    LayerOptions managing;
    managing.state_directory = directory;
    CAIRN_ASSIGN(restorer.manager, LayerManager::open(*restorer.at.store, *restorer.at.machine, std::move(managing)));
    return {};
  };
  if (goes_on) {
    const Result<std::string> state =
        layer_state_directory(options.state_root, options.name, options.url, *restorer.at.store);
    if (state && open_in(*state)) return {};
  }
  CAIRN_ASSIGN(restorer.scratch, ScratchState::make());
  return open_in(restorer.scratch->path());
}

Json result_json(const LayerRestoreCommand& options, const Store& store, const LayerRestoreResult& result) {
  Json json;
  json["container"] = options.name;
  json["store_url"] = store.url();
  json["sync"] = snapshot_json(result.snapshot);
  json["form"] = options.form;
  json["layers"] = result.layers;
  json["entries"] = result.entries;
  json["size_bytes"] = result.size_bytes;
  json["fetched_bytes"] = result.fetched_bytes;
  if (!options.dry_run) {
    json["output"] = options.output;
    json["requests"] = result.requests;
  }
  return json;
}

std::string result_text(const LayerRestoreCommand& options, const LayerRestoreResult& result) {
  const std::string what = fmt::format("sync {} of {}: {} {}, {} from {}", result.snapshot.sequence,
                                       format_time(result.snapshot.created_at_ms), result.entries,
                                       result.entries == 1 ? "entry" : "entries", size_text(result.size_bytes),
                                       count_text(result.layers, "layer"));
  if (options.dry_run) return fmt::format("{}; {} to fetch", what, size_text(result.fetched_bytes));
  return fmt::format("{}: {}; fetched {} in {}", options.output, what, size_text(result.fetched_bytes),
                     count_text(result.requests, "request"));
}

int restore(const LayerRestoreCommand& options, const Tools& tools) {
  const Style style = style_of(options.json);
  Result<LayerRestoreOptions> restoring = restore_options_of(options);
  if (!restoring) return report({restoring.error()}, style);
  Result<LayerStore> at = open_layer_store(options.url, StoreUse::reading);
  if (!at) return report({at.error()}, style);
  Restorer restorer{std::move(*at), nullptr, nullptr};
  RememberingStore& store = *restorer.at.store;
  const Result<void> opened = open_manager(options, *restoring, restorer);
  if (!opened) return report({opened.error()}, style);

  std::stop_source stop;
  ProgressBar bar("restoring", ProgressBar::Unit::bytes);
  restoring->progress = [&](std::uint64_t done, std::uint64_t total) { bar.show(done, total); };
  restoring->on_notice = [&](std::string_view notice) {
    bar.clear();
    tools.log.warn("{}", notice);
  };
  restoring->stop = stop.get_token();
  const Result<LayerRestoreResult> result = [&] {
    const StopOnSignal stop_on_signal(tools.signals, stop);
    return restorer.manager->restore_layer(options.name, options.output, *restoring);
  }();
  bar.clear();
  if (!result) return report(layer_failure(store, result.error()), style);
  if (style == Style::json) {
    print_json(result_json(options, store, *result));
  } else {
    print_line(result_text(options, *result));
  }
  return kDone;
}

}  // namespace

void add_layer_restore(CLI::App& layer, Run& run) {
  const auto options = std::make_shared<LayerRestoreCommand>();
  CLI::App* command = layer.add_subcommand(
      "restore", "Brings back the newest sync of a container's directory, or an earlier one.\n"
                 "It is exactly what was published, or the restore fails and touches nothing.");
  command->add_option("URL", options->url, "the store")->required()->type_name("");
  command->add_option("--name", options->name, "the container")->required()->type_name("NAME");
  command->add_option("-o,--output", options->output, "the directory to restore into")->type_name("DIR");
  CLI::Option* at = command->add_option("--at", options->at,
                                        "the newest sync at or before this time:\n"
                                        "2026-11-21T08:00:00Z, with an offset (+02:00), a date\n"
                                        "alone; without an offset it is UTC");
  at->type_name("TIME");
  command->add_option("--sequence", options->sequence, "exactly this sync (see cairn layer history)")
      ->type_name("N")
      ->excludes(at);
  command->add_option("--path", options->path, "only this path, and what is below it")->type_name("P");
  command->add_option("--as", options->form,
                      "upper: a directory to mount as upperdir; merged: what the\n"
                      "container saw; oci-layout: an image of these layers")
      ->check(CLI::IsMember({"upper", "merged", "oci-layout"}))
      ->type_name("")
      ->capture_default_str();
  command->add_option("--lower", options->lower, "with merged: a directory that it lies over, the topmost first")
      ->type_name("DIR")
      ->allow_extra_args(false);
  command->add_flag("--accept-hidden-attributes", options->accept_hidden_attributes,
                    "with --lower: as for sync, of those directories");
  command->add_option("--compression", options->compression,
                      "with oci-layout: gzip, which every tool knows (default),\n"
                      "or zstd, the layers as they lie in the store, which is\n"
                      "quicker, and which umoci knows from 0.5 on")
      ->check(CLI::IsMember({"gzip", "zstd"}))
      ->type_name("");
  command->add_flag("--overwrite", options->overwrite, "replace the directory, as a whole, if it exists");
  command->add_flag("--user-marks", options->user_marks,
                    "mark deletions for mounts with userxattr (rootless\n"
                    "containers), whatever the marks were");
  command->add_flag("--dry-run", options->dry_run, "say what would be fetched, and end");
  command->add_option("--state-dir", options->state_root, "where local state lies, as for sync")->type_name("DIR");
  command->add_flag("--json", options->json, "what was restored as one line of JSON");
  command->footer(kLayerRestoreExamples);
  command->callback([options, &run] { run = [options](const Tools& tools) { return restore(*options, tools); }; });
}

}  // namespace cairn::cli
