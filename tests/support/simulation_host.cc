#include <sys/stat.h>

#include <array>
#include <filesystem>
#include <fstream>

#include "fmt/format.h"
#include "support/simulation.h"

namespace cairn::testing {
namespace {

// Not what begins a replica: a claim or a first snapshot that comes late is taken for another's, and refused.
bool may_come_late(std::string_view key) {
  return !key.ends_with("metadata.json") && key.find("-00000000000000000000.sqlite") == std::string_view::npos;
}

}  // namespace

void let_file_clock_tick(const std::string& directory) {
  const auto changed = [&] {
    std::ofstream(directory + "/tick") << "tick";
    struct stat info {};
    ::stat((directory + "/tick").c_str(), &info);
    return std::pair(info.st_ctim.tv_sec, info.st_ctim.tv_nsec);
  };
  const auto before = changed();
  while (changed() == before) {
  }
}

Host::Host(Store& store, std::string database, std::string directory, SeededRandom& random)
    : directory_(std::move(directory)),
      disk_random_(random.next()),
      store_random_(random.next()),
      replicator_random_(random.next()) {
  std::filesystem::create_directories(directory_);
  files_ = std::make_unique<CrashFileSystem>(directory_, life_, disk_random_);
  faulty_ = make_faulty_store(store, plan_, store_random_);
  store_ = std::make_unique<MortalStore>(*faulty_, life_, store_random_);
  store_->is_folder = random.chance(1, 2);
  if (!store_->is_folder) store_->may_be_put_late = &may_come_late;
  options_.database = std::move(database);
  options_.replica = "replica";
  options_.state_directory = directory_ + "/state";
  options_.host = "simulated";
  constexpr std::array<std::int64_t, 4> kIntervals_ms{0, 10, 1000, 1000};
  options_.interval_ms = kIntervals_ms[random.below(kIntervals_ms.size())];
  constexpr std::array<std::uint32_t, 4> kRollovers{8, 40, 150, 1000};
  options_.rollover_frames = kRollovers[random.below(kRollovers.size())];
  if (random.chance(1, 2)) options_.slice_bytes = 1;  // a block a step
  if (random.chance(1, 6)) options_.spool_limit_bytes = 20'000;
  options_.level_windows_ms = {10'000, 40'000, 160'000};
  if (random.chance(1, 6)) options_.level_windows_ms = {20'000};
  if (random.chance(1, 6)) options_.level_windows_ms.clear();
  options_.replaced_grace_ms = 60'000;
  if (random.chance(1, 4)) options_.kept_limit_bytes = 60'000;
  if (random.chance(1, 4)) options_.merged_limit_bytes = 40'000;
  options_.snapshot_interval_ms = random.chance(1, 3) ? 100'000 : 0;
  begin_boot();
  options_.truncate_wal_bytes = random.chance(1, 3) ? 50'000 : 64ull << 20;
  if (random.chance(2, 3)) options_.pages_in_memory = static_cast<std::uint32_t>(1 + random.below(20));
}

Result<void> Host::start() {
  options_.known = rest_ ? rest_->known : nullptr;
  rest_.reset();
  CAIRN_ASSIGN(replicator_, Replicator::open(*store_, *files_, executor_, replicator_random_, options_));
  return {};
}

void Host::stop() {
  if (!replicator_) return;
  replicator_->close(StopMode::tidy);
  replicator_.reset();
}

bool Host::rest(const Time& now) {
  rest_ = replicator_->rest(now);
  if (!rest_) return false;
  replicator_.reset();
  if (life_.is_over()) rest_.reset();  // nobody has heard of it
  return true;
}

bool Host::is_found_at_rest(const Time& now) const {
  const auto found = Replicator::find_at_rest(*files_, options_, now);
  return found && *found;
}

void Host::begin_boot() { options_.boot = fmt::format("{:032x}", ++boots_); }

void Host::die(CrashKind kind) {
  life_.end_now();
  rest_.reset();
  if (kind == CrashKind::power_loss) {
    begin_boot();
    store_->forget_late_put();  // its bytes may be lost as well: what comes then is refused, as another's
  }
  if (replicator_) replicator_->close(StopMode::crash);
  replicator_.reset();
  files_->crash(kind);
  life_.begin_anew();
}

void Host::lose_state_directory() {
  heal();
  store_->forget_late_put();
  const std::string& state = options_.state_directory;
  for (const std::string& directory : {state + "/spool", state + "/kept/0", state + "/kept/1", state + "/kept/2",
                                       state + "/kept/3", state + "/kept", state}) {
    const auto names = files_->list(directory);
    if (!names) continue;
    for (const std::string& name : *names) {
      if (!std::filesystem::is_directory(directory + "/" + name)) (void)files_->remove(directory + "/" + name);
    }
    (void)files_->sync_directory(directory);
  }
}

void Host::heal() {
  const std::uint64_t injected = plan_.injected;
  plan_ = FaultPlan{};
  plan_.injected = injected;
  plan_.hidden_calls = late_calls_;
  set_rights();
  files_->set_faults({});
  life_.begin_anew();
  faultless_ = true;
}

void Host::set_rights() {
  if (may_delete_) return;
  for (const Operation removal : {Operation::remove, Operation::remove_many}) plan_.of(removal).denied = 1000;
}

void Host::store_goes_away() {
  plan_.set_all({.before = 1000, .after = 0, .lost = 0, .denied = 0});
  faultless_ = false;
}

// Denied requests are left out, but for removals: they ask for a person. Listings that are late are asked for
// (list_late).
void Host::make_faulty(SeededRandom& random) {
  heal();
  faultless_ = false;
  const int rate = static_cast<int>(1 + random.below(150));
  if (random.chance(2, 3)) {
    plan_.set_all({.before = rate, .after = rate, .lost = rate / 2, .denied = 0});
    plan_.page_limit = static_cast<int>(random.below(3));
    if (random.chance(1, 3)) plan_.truncated = plan_.flipped = rate / 3;
  }
  if (random.chance(1, 8)) plan_.set_all({.before = 1000, .after = 0, .lost = 0, .denied = 0});  // away
  else if (!may_delete_) set_rights();
  if (random.chance(1, 2)) {
    files_->set_faults({.full = static_cast<std::uint32_t>(random.below(800)),
                        .failing = static_cast<std::uint32_t>(random.below(400))});
  }
  if (random.chance(1, 2)) life_.end_after(random.below(random.chance(1, 2) ? 12 : 80));
}

}  // namespace cairn::testing
