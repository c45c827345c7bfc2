// What `cairn compact` and the commands below it have in common.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cairn/compactor.h"
#include "cli/commands.h"
#include "cli/exit_status.h"
#include "cli/output.h"
#include "cli/remembering_store.h"
#include "cli/system.h"

namespace CLI {
class App;
}

namespace cairn::cli {

void add_compact_catalogue(CLI::App& compact, Run& run);  // monitor, unmonitor, list, sync, analyse, path

struct CatalogueOptions {
  std::string catalogue;
  std::vector<std::string> urls;
  bool json = false;
};
void add_catalogue_options(CLI::App& command, CatalogueOptions& options);

// A compactor, and the machine that it works with. Not copied, since it keeps references.
struct Compacting {
  System system;
  std::shared_ptr<RememberingStore> store;  // that was opened last
  std::unique_ptr<Compactor> compactor;

  Failure failure(const Error& error) const;
};
Result<std::unique_ptr<Compacting>> open_compacting(const CatalogueOptions& options);

// One name for one folder, as the catalogue has it; other URLs are what the user wrote.
Result<std::string> catalogue_url(const std::string& given);

// What `call` gives of a replica; one that the catalogue does not name is added first.
template <class Call>
auto with_known(Compacting& at, const std::string& url, Call call) -> decltype(call()) {
  at.store.reset();
  auto result = call();
  // A store is only opened for what is in the catalogue.
  if (result || at.store || result.error().kind() != ErrorKind::not_found) return result;
  CAIRN_TRY(at.compactor->monitor(url));
  return call();
}

Json path_json(const RestorePath& path);
std::string path_text(const RestorePath& path);  // "5 objects, 9 requests, at most 3.2 MiB"

}  // namespace cairn::cli
