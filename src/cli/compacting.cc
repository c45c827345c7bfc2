#include "cli/compacting.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <algorithm>

#include "base/files.h"
#include "cli/places.h"
#include "cli/reading.h"

namespace cairn::cli {

void add_catalogue_options(CLI::App& command, CatalogueOptions& options) {
  command.add_option("--catalogue", options.catalogue,
                     "the file that remembers what is in the replicas;\n"
                     "default: /var/cache/cairn/catalogue.db for root, else\n"
                     "$XDG_CACHE_HOME/cairn or ~/.cache/cairn")
      ->type_name("FILE");
  command.add_flag("--json", options.json, "as JSON, one line a replica");
}

Failure Compacting::failure(const Error& error) const {
  if (store && store->has_said(error)) return reading_failure(*store, error);
  if (store && error.kind() == ErrorKind::not_found) return reading_failure(*store, error);
  return {error};
}

Result<std::unique_ptr<Compacting>> open_compacting(const CatalogueOptions& options) {
  CompactorOptions opening;
  opening.catalogue = options.catalogue;
  if (opening.catalogue.empty()) {
    CAIRN_ASSIGN(const std::string root, default_cache_root());
    opening.catalogue = join_path(root, "catalogue.db");
  }
  opening.scratch_directory = join_path(parent_directory(opening.catalogue), "merging");
  auto at = std::make_unique<Compacting>();
  opening.open_store = [place = at.get()](const std::string& url) -> Result<std::shared_ptr<Store>> {
    CAIRN_ASSIGN(std::unique_ptr<RememberingStore> store, open_remembering_store(url));
    place->store = std::move(store);
    return std::shared_ptr<Store>(place->store);
  };
  const bool all_local = !options.urls.empty() && std::none_of(options.urls.begin(), options.urls.end(),
                                                               &System::is_remote);
  Executor& executor = all_local ? *at->system.executor : *at->system.transfers;
  CAIRN_ASSIGN(at->compactor, Compactor::open(opening, at->system.clock, *at->system.files, executor));
  return at;
}

Result<std::string> catalogue_url(const std::string& given) {
  if (System::is_remote(given)) return given;
  CAIRN_ASSIGN(const std::unique_ptr<Store> store, open_store(given));
  return canonical_url(given, store->url());
}

Json path_json(const RestorePath& path) {
  Json json;
  json["sequence"] = path.sequence;
  json["requests"] = path.requests;
  json["size_bytes"] = path.size_bytes;
  json["objects"] = planned_json(path.objects);
  return json;
}

std::string path_text(const RestorePath& path) {
  return fmt::format("{}, {}, at most {}", count_text(path.objects.size(), "object"),
                     count_text(path.requests, "request"), size_text(path.size_bytes));
}

}  // namespace cairn::cli
