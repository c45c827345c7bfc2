// What the command is wired from: the machine's clock, chance, disk and cores. main makes one.
#pragma once

#include <memory>
#include <string>

#include "base/clock.h"
#include "base/executor.h"
#include "base/files.h"
#include "base/os.h"
#include "cli/remembering_store.h"
#include "s3/connect.h"

namespace cairn::cli {

struct System {
  SystemClock clock;
  SystemRandom random;
  std::unique_ptr<FileSystem> files = make_real_file_system();
  std::unique_ptr<Executor> executor = make_thread_pool();
  const std::string boot = boot_id();
  s3::SharedStores stores;
  // For requests, which wait for a network more than for a processor: more than there are cores.
  std::unique_ptr<Executor> transfers = make_thread_pool(8);

  // Reading objects is decompressing them, too: of a directory, cores are what it waits for.
  Executor& readers(const std::string& url) { return is_remote(url) ? *transfers : *executor; }
  static bool is_remote(const std::string& url) { return url.starts_with("s3:") || url.starts_with("S3:"); }
};

// The store that a URL names, remembering what goes wrong with it.
inline Result<std::unique_ptr<RememberingStore>> open_remembering_store(const std::string& url,
                                                                        StoreUse use = StoreUse::publishing) {
  CAIRN_ASSIGN(std::unique_ptr<Store> store, open_store(url, {}, use));
  return std::make_unique<RememberingStore>(std::move(store));
}

// The same, with what stores of one bucket have in common.
inline Result<std::unique_ptr<RememberingStore>> open_shared_store(const std::string& url, s3::SharedStores& shared) {
  if (!System::is_remote(url)) return open_remembering_store(url);
  CAIRN_ASSIGN(s3::Connection connection, s3::connect(url, {}, {}, &shared));
  return std::make_unique<RememberingStore>(std::move(connection.store));
}

}  // namespace cairn::cli
