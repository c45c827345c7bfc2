// The one thread that watches a container's directory: it sleeps on inotify and a bell until a sync is due.
#include <algorithm>
#include <memory>

#include "base/clock.h"
#include "cairn/daemon.h"
#include "daemon/layer_watcher.h"
#include "daemon/tree_watch.h"

namespace cairn {

namespace {

constexpr int kLooksAWhile = 4;                         // how finely the end of a burst of changes is seen

}  // namespace

Result<void> watch_layer(LayerManager& manager, const std::string& name, const std::string& directory, Clock& clock,
                         std::stop_token stop, const LayerWatchOptions& options) {
  CAIRN_TRY(manager.register_container(name, directory));
  CAIRN_ASSIGN(const std::unique_ptr<daemon::TreeWatch> watch, daemon::TreeWatch::open(directory));
  std::string told;
  const auto tell_trouble = [&] {
    if (watch->trouble() == told) return;
    told = watch->trouble();
    if (options.on_notice) options.on_notice(told);
  };
  tell_trouble();
  daemon::LayerWatcher watcher(manager, name, clock, options);
  const std::stop_callback wake(stop, [&] { watch->ring(); });
  while (!stop.stop_requested()) {
    const std::int64_t left_us = std::min(watcher.due_us() - clock.now().mono_us, kLongestWaitUs);
    if (left_us > 0) {
      // During a burst the file system is left alone: each of its events would wake us.
      if (watcher.awaits_quiet()) {
        watch->wait_for_bell(std::min(left_us, std::max<std::int64_t>(options.quiet_ms * 1000 / kLooksAWhile, 1000)));
      } else {
        watch->wait(left_us);
      }
      if (watch->drain()) watcher.note_change();
      continue;
    }
    // What happens from here on is a change after this sync.
    watch->drain();
    watch->refresh();
    tell_trouble();
    CAIRN_TRY(watcher.sync());
  }
  return watcher.sync_last();
}

}  // namespace cairn
