// A round is a dozen or two of actions drawn from the seed: a step of the application, a step of the replicator, time
// passing, a death, a restart. Whatever the faults of a round, at its end the store itself (behind the faults) has to
// hold a dense, unchanged chain of committed states that reaches at least as far as the replicator has claimed.
//
// At the end of a seed everything is made well again, and the replica must come to hold exactly what is committed;
// then a restart without changes must publish nothing, and an idle replicator must not call the store.
#include "support/simulation.h"

#include <sqlite3.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "cairn/compactor.h"
#include "cairn/restore.h"
#include "fmt/format.h"
#include "store/memory_store.h"
#include "support/interrupted_store.h"
#include "support/prune_promise.h"

namespace cairn::testing {
namespace {

namespace stdfs = std::filesystem;

constexpr std::int64_t kDay_ms = 86'400'000;
constexpr int kMaxWaits = 200;

class Simulation {
 public:
  explicit Simulation(const SimulationOptions& options);
  SimulationReport run();
  Result<PruneReport> prune(Store& store, std::string_view replica);

 private:
  bool failed() const { return !report_.failure.empty(); }
  void fail(const std::string& what);
  void trace(std::string what);

  void round();
  void act();
  void pass_time(std::int64_t us);
  void let_time_jump();

  // The replicator.
  void start();
  void die(CrashKind kind);
  void step_something();
  void capture();
  void publish();
  void upload();
  void keep_up();
  void rest();
  void go_to_rest();
  void check_what_rests();
  void wake();
  void take(const char* what, const Result<Step>& step);
  void note_status();
  void give_up(const Error& error, const char* what);
  bool settle();

  // Prunes.
  void begin_pruning();
  bool is_owed(std::uint64_t sequence) const;
  Result<PruneReport> prune_within_a_restore(Store& store, std::string_view replica);
  void check_promise();
  bool is_there(std::uint64_t sequence, bool owed);

  // Checks.
  void check_replica();
  void check_restore(const ReplicaOracle::Point& point);
  void check_restore_by_late_listing(const ReplicaOracle::Point& point);
  Result<Bytes> restored(Store& store, std::optional<std::uint64_t> sequence);
  void check_database_is_untouched();
  void check_end();
  void check_restart_publishes_nothing(CrashKind kind);
  void check_idle_is_silent();
  void keep_evidence();

  SimulationOptions options_;
  SimulationReport report_;
  Scratch scratch_{"sim"};
  SeededRandom random_;
  Time now_{.wall_ms = 1'790'000'000'000, .mono_us = 5'000'000};
  struct SimulatedClock final : Clock {
    explicit SimulatedClock(const Time& time) : time_(time) {}
    Time now() override { return time_; }
    const Time& time_;
  } clock_{now_};
  std::unique_ptr<Store> store_ = options_.prunes ? make_memory_store(clock_) : make_memory_store();
  PrunePolicy policy_;
  InlineExecutor prune_executor_;
  std::unique_ptr<Pruner> pruner_;
  std::optional<PrunePromise> promise_;  // of the newest prune
  bool promise_is_new_ = false;
  PageModel model_;
  std::unique_ptr<Workload> workload_;
  std::unique_ptr<Host> host_;
  ReplicaOracle oracle_{*store_, "replica"};

  std::int64_t next_us_ = 0;            // the earliest that any step has asked for
  std::uint64_t called_published_ = 0;  // the highest sequence that a status has called published
  std::size_t model_at_capture_ = 0;    // newest state when capture_step was called last
  std::size_t durable_state_ = 0;       // the newest state that was settled
  std::uint64_t replaced_ = 0;          // by this process
  bool settled_once_ = false;
  bool settling_ = false;               // all is well from here on
  bool may_be_in_rollback_mode_ = true;
  bool state_directory_lost_ = false;
};

Simulation::Simulation(const SimulationOptions& options) : options_(options), random_(options.seed) {
  // SQLite's own chance (salts) comes from the seed too.
  sqlite3_test_control(SQLITE_TESTCTRL_PRNG_SEED, static_cast<int>(options.seed % 1'000'000 + 1), nullptr);
  constexpr std::array<const char*, 3> kNames{"app.db", "data", "a b.sqlite3"};
  stdfs::create_directory(scratch_ / "data");
  const std::string database = scratch_ / "data/" + kNames[random_.below(kNames.size())];
  workload_ = std::make_unique<Workload>(database, random_options(random_), random_, model_);
  std::string path = database;
  if (random_.chance(1, 6)) {
    path = scratch_ / "link";
    stdfs::create_symlink(database, path);
  }
  host_ = std::make_unique<Host>(*store_, path, scratch_ / "host", random_);
  if (options_.prunes) begin_pruning();
  workload_->set_on_wait(
      [this] {
        pass_time(1000);
        if (host_->is_up()) capture();
      },
      kMaxWaits);
  workload_->on_waiting_checkpoint = [this](const WaitingCheckpoint& checkpoint) {
    if (checkpoint.application_in_the_way || !host_->is_up() || !host_->is_faultless()) return;
    report_.most_waits = std::max(report_.most_waits, checkpoint.waits);
    // Without a wait it was SQLite's checkpoint lock, for which nobody waits: held for milliseconds after a rollover.
    const ReplicatorStatus status = host_->replicator().status();
    const bool well = status.phase == Phase::following && status.database_trouble.empty();
    if (checkpoint.gave_up && checkpoint.waits > 0 && well) {
      fail(fmt::format("a checkpoint of the application waited {} ms for Cairn: hold {}, {}", checkpoint.waits,
                       status.hold, workload_->describe_index()));
    }
  };
}

void Simulation::fail(const std::string& what) {
  if (!failed()) report_.failure = what;
  trace("FAILED: " + what);
}

void Simulation::trace(std::string what) {
  if (options_.verbose) std::fprintf(stderr, "%8.3f  %s\n", static_cast<double>(now_.mono_us) / 1e6, what.c_str());
  report_.trace.push_back(std::move(what));
}

// Prunes.

struct SimulatedPruner final : Pruner {
  explicit SimulatedPruner(Simulation& simulation_in) : simulation(simulation_in) {}
  Result<PruneReport> prune(Store& store, std::string_view replica) override {
    return simulation.prune(store, replica);
  }
  Simulation& simulation;
};

void Simulation::begin_pruning() {
  oracle_.allow_prunes();
  policy_.keep_all_ms = static_cast<std::int64_t>(random_.below(3) * random_.below(60'000));
  policy_.hourly = static_cast<std::uint32_t>(random_.below(3));
  policy_.daily = static_cast<std::uint32_t>(random_.below(3));
  policy_.weekly = static_cast<std::uint32_t>(random_.below(3));
  policy_.monthly = static_cast<std::uint32_t>(random_.below(3));
  policy_.grace_ms = static_cast<std::int64_t>(random_.below(2) * random_.below(60'000));
  pruner_ = std::move(*make_pruner(policy_, clock_, prune_executor_));
  host_->options().pruner = std::make_shared<SimulatedPruner>(*this);
  host_->options().prune_interval_ms = 20'000 + static_cast<std::int64_t>(random_.below(100'000));
  host_->options().snapshot_interval_ms = 60'000;
}

// On a thread of its own it would run beside everything else; here it falls between two requests of a restore, or the
// restore between two of its own.
Result<PruneReport> Simulation::prune(Store& store, std::string_view replica) {
  if (const std::string problem = oracle_.check(model_); !problem.empty()) fail("before a prune: " + problem);
  auto promise = promise_of(*store_, std::string(replica), policy_, now_.wall_ms,
                            options_.lists_late ? Listing::late : Listing::whole);
  if (!promise) {
    fail("before a prune: " + promise.error().message());
    return promise.error();
  }
  promise_ = std::move(*promise);
  promise_is_new_ = true;
  auto report = prune_within_a_restore(store, replica);
  if (report) {
    ++report_.prunes;
    report_.pruned += report->removed_objects;
  }
  trace(report ? fmt::format("pruned {} objects", report->removed_objects)
               : fmt::format("prune: {}: {}", name_of(report.error().kind()), report.error().message()));
  return report;
}

Result<PruneReport> Simulation::prune_within_a_restore(Store& store, std::string_view replica) {
  const auto& points = oracle_.points();
  if (points.empty() || random_.chance(1, 3)) return pruner_->prune(store, replica);
  std::optional<std::uint64_t> wanted = points[random_.below(points.size())].sequence;
  if (random_.chance(1, 2) && !promise_->each.empty()) wanted = promise_->each[random_.below(promise_->each.size())];
  const std::uint64_t at = random_.below(30);
  if (random_.chance(1, 2)) {
    InterruptedStore interrupted(store, at, [&] { is_there(*wanted, is_owed(*wanted)); });
    return pruner_->prune(interrupted, replica);
  }
  std::optional<Result<PruneReport>> report;
  InterruptedStore interrupted(*store_, at % 12, [&] { report = pruner_->prune(store, replica); });
  const auto point = std::ranges::find(points, *wanted, &ReplicaOracle::Point::sequence);
  const auto bytes = restored(interrupted, wanted);
  if (bytes && content_hash(*bytes) != point->hash) fail(fmt::format("a prune made {} another state", *wanted));
  if (!bytes && is_owed(*wanted)) {
    fail(fmt::format("a restore of {} while pruned: {}", *wanted, bytes.error().message()));
  }
  return report ? std::move(*report) : pruner_->prune(store, replica);
}

bool Simulation::is_owed(std::uint64_t sequence) const {
  return sequence > promise_->newest || std::ranges::binary_search(promise_->each, sequence);
}

// What it is, if it is still there; it has to be when it is owed.
bool Simulation::is_there(std::uint64_t sequence, bool owed) {
  const auto point = std::ranges::find(oracle_.points(), sequence, &ReplicaOracle::Point::sequence);
  if (point == oracle_.points().end()) return false;
  const auto bytes = restored(*store_, sequence);
  if (bytes && content_hash(*bytes) != point->hash) fail(fmt::format("what is restored of {} is not it", sequence));
  const bool refused = !bytes && (bytes.error().kind() == ErrorKind::not_found ||
                                  bytes.error().kind() == ErrorKind::corrupt);
  if (!bytes && (owed || !refused)) fail(fmt::format("restore of {}: {}", sequence, bytes.error().message()));
  return bytes.has_value();
}

// All of it after a prune, until then some.
void Simulation::check_promise() {
  if (!promise_) return;
  const auto& points = oracle_.points();
  for (const auto& point : points) {
    if (failed() || !(promise_is_new_ || random_.chance(1, 8))) continue;
    if (is_owed(point.sequence)) report_.promised += is_there(point.sequence, true);
    else if (random_.chance(1, 4)) is_there(point.sequence, false);
  }
  for (const auto& run : promise_->one_of) {
    if (failed() || !promise_is_new_) break;
    if (std::ranges::none_of(run, [&](std::uint64_t at) { return is_there(at, false); })) {
      fail(fmt::format("of {} to {} one was to be kept, and none is there", run.back(), run.front()));
    }
  }
  promise_is_new_ = false;
}

// Time.

void Simulation::pass_time(std::int64_t us) {
  now_.mono_us += us;
  now_.wall_ms += us / 1000;
}

void Simulation::let_time_jump() {
  constexpr std::array<std::int64_t, 7> kJumps_us{0, 100, 1'000, 5'000, 50'000, 1'100'000, 40'000'000};
  pass_time(kJumps_us[random_.below(kJumps_us.size())]);
  if (next_us_ > now_.mono_us && random_.chance(1, 4)) pass_time(next_us_ - now_.mono_us);
  if (random_.chance(1, 20)) {
    std::int64_t jump_ms = static_cast<std::int64_t>(random_.below(2 * kDay_ms)) - kDay_ms;
    // A machine that was switched off for weeks.
    if (options_.prunes && random_.chance(1, 3)) jump_ms = static_cast<std::int64_t>(random_.below(40 * kDay_ms));
    now_.wall_ms += jump_ms;
    trace(fmt::format("the wall clock jumps by {} s", jump_ms / 1000));
  }
}

// The replicator.

void Simulation::start() {
  const auto started = host_->start();
  trace(started ? "start" : "start fails: " + started.error().message());
  if (!started && host_->life().is_over()) return die(CrashKind::kill);
  if (!started && host_->is_faultless()) fail("cannot be started: " + started.error().message());
  if (started && options_.away_at_start && !settling_) {
    trace("the store is away");
    host_->store_goes_away();
  }
}

void Simulation::die(CrashKind kind) {
  ++(kind == CrashKind::kill ? report_.kills : report_.power_losses);
  trace(kind == CrashKind::kill ? "cairn is killed" : "power loss");
  if (kind == CrashKind::power_loss) workload_->kill();
  workload_->note_what_is_synced();
  host_->die(kind);
  if (kind == CrashKind::power_loss) {
    trace(workload_->lose_power());
    if (options_.check_always && !workload_->is_deleted() && workload_->integrity_check() != "ok") fail("damaged");
  }
  host_->options().adopt = Adopt::none;
}

// An error that a step returns is final. Few are to be expected.
void Simulation::give_up(const Error& error, const char* what) {
  trace(fmt::format("{}: {}: {}", what, name_of(error.kind()), error.message()));
  const bool faulty = !host_->is_faultless();
  const bool no_database = workload_->is_deleted() && error.kind() == ErrorKind::not_found;
  const bool disk = faulty && error.kind() == ErrorKind::io;
  const bool unproven = state_directory_lost_ && error.kind() == ErrorKind::conflict;
  if (!no_database && !disk && !unproven) {
    fail(fmt::format("{} gives up: {}: {}", what, name_of(error.kind()), error.message()));
  }
  host_->stop();
  if (unproven) host_->options().adopt = Adopt::local;
}

void Simulation::take(const char* what, const Result<Step>& step) {
  if (host_->life().is_over()) return;  // whatever it says, nobody hears it; act() buries it
  if (!step) return give_up(step.error(), what);
  next_us_ = next_us_ <= now_.mono_us ? step->next_us : std::min(next_us_, step->next_us);
  if (options_.verbose) trace(fmt::format("  {}: next in {} us", what, step->next_us - now_.mono_us));
  note_status();
}

void Simulation::capture() {
  if (may_be_in_rollback_mode_) workload_->observe();
  model_at_capture_ = model_.newest();
  take("capture", host_->replicator().capture_step(now_));
  if (may_be_in_rollback_mode_) {  // it may have been switched to WAL mode just now
    workload_->observe();
    if (workload_->in_wal_mode()) may_be_in_rollback_mode_ = false;
    if (!may_be_in_rollback_mode_) model_at_capture_ = model_.newest();
  }
}

void Simulation::publish() { take("publish", host_->replicator().publish_step(now_)); }
void Simulation::upload() { take("snapshot", host_->replicator().snapshot_step(now_)); }

void Simulation::keep_up() {
  if (!host_->is_up()) return;
  take("upkeep", host_->replicator().upkeep_step(now_));
}

// Until nothing is left to be merged or removed, and the snapshot that is due next is made.
void Simulation::rest() {
  pass_time(host_->options().snapshot_interval_ms * 1000);
  for (int i = 0; options_.prunes && i < 4 && !failed(); ++i) {
    pass_time(3'700'000'000);  // until what could not be thinned is tried again
    for (const auto& step : {&Simulation::capture, &Simulation::publish, &Simulation::upload, &Simulation::keep_up}) {
      if (host_->is_up() && !failed()) (this->*step)();
    }
  }
  constexpr int kSeconds = 8000;  // what was denied is tried again after an hour, and then there is the grace period
  for (int i = 0; i < kSeconds && !failed(); ++i) {
    for (const auto& step : {&Simulation::capture, &Simulation::publish, &Simulation::upload, &Simulation::keep_up}) {
      if (host_->is_up() && !failed()) (this->*step)();
    }
    if (failed()) return;
    const ReplicatorStatus status = host_->replicator().status();
    if (status.settled && status.kept_objects == 0 && status.replacing_objects == 0 && i > 3) break;
    pass_time(1'000'000);
    if (i == kSeconds - 1) return fail("it never comes to rest: " + host_->replicator().status().upkeep_trouble);
  }
}

// In the middle of which the application may go on: before the last look at it, and after.
void Simulation::go_to_rest() {
  trace("it may rest");
  for (int i = 0; i < 4 && !failed(); ++i) {
    for (const auto& step : {&Simulation::capture, &Simulation::publish, &Simulation::upload, &Simulation::keep_up}) {
      if (host_->is_up() && !failed() && !host_->life().is_over()) (this->*step)();
    }
    if (!host_->is_up() || failed() || host_->life().is_over()) return;
    (void)host_->replicator().may_rest(now_);
    pass_time(random_.chance(1, 8) ? 1'900'000 : 2'100'000);
  }
  let_file_clock_tick(scratch_ / "host");
  if (random_.chance(1, 4)) trace(workload_->step());
  if (!host_->is_up() || failed() || !host_->replicator().may_rest(now_)) return;
  if (random_.chance(1, 4)) trace(workload_->step());
  if (!host_->is_up() || failed()) return;
  if (!host_->rest(now_)) return;
  trace("at rest");
  ++report_.rests;
  if (!host_->life().is_over()) check_what_rests();
}

// That it goes on says that everything is published, whatever has been done to the files.
void Simulation::check_what_rests() {
  const bool known = host_->goes_on_resting(now_), found = !host_->is_up() && host_->is_found_at_rest(now_);
  trace(fmt::format("at rest: {}, {}", known ? "goes on" : "to be woken", found ? "found so" : "not found so"));
  if (!known && host_->is_at_rest()) ++report_.woken;
  if (!known && !found) return;
  if (workload_->is_deleted()) return fail("at rest, and the database is gone");
  const std::string problem = oracle_.check(model_);
  if (!problem.empty()) return fail("the replica: " + problem);
  const Bytes image = workload_->image();
  if (oracle_.points().empty() || oracle_.points().back().hash != content_hash(image)) {
    fail("at rest, and the replica is not the database");
  }
}

void Simulation::wake() {
  const bool in_vain = random_.chance(1, 4);
  check_what_rests();
  if (!failed() && (in_vain || !host_->goes_on_resting(now_))) start();
}

void Simulation::note_status() {
  const ReplicatorStatus status = host_->replicator().status();
  called_published_ = std::max(called_published_, status.published_sequence);
  if (status.phase == Phase::following) state_directory_lost_ = false;
  if (status.replaced_objects > replaced_) report_.replaced += status.replaced_objects - replaced_;
  replaced_ = status.replaced_objects;
  if (status.settled && model_at_capture_ == model_.newest() && !workload_->is_deleted()) {
    durable_state_ = model_.newest();
    settled_once_ = true;
  }
  if (options_.verbose) {
    trace(fmt::format("    {} captured {} published {} hold {} wal {}{}{}{}{}", name_of(status.phase),
                      status.captured_sequence, status.published_sequence, status.hold, status.wal_frames,
                      status.settled ? " settled" : "",
                      status.snapshot_pages_total > 0 ? " snapshot" : "",
                      status.database_trouble.empty() ? "" : " db: " + status.database_trouble,
                      status.store_trouble.empty() ? "" : " store: " + status.store_trouble));
  }
}

void Simulation::step_something() {
  switch (random_.below(13)) {
    case 12: return go_to_rest();
    case 10:
    case 11: trace("upkeep step"); return keep_up();
    case 0:
      host_->replicator().request_snapshot();
      trace("snapshot requested");
      break;
    case 1: host_->replicator().request_capture(); break;
    case 2:
    case 3: trace("snapshot step"); return upload();
    case 4:
    case 5:
    case 6: trace("publish step"); return publish();
    default: trace("capture step"); return capture();
  }
}

// Rounds.

void Simulation::act() {
  if (host_->life().is_over()) return die(random_.chance(1, 2) ? CrashKind::kill : CrashKind::power_loss);
  if (random_.chance(1, 4)) let_time_jump();
  if (host_->is_at_rest() && random_.chance(1, 3)) return wake();
  if (host_->is_at_rest() && random_.chance(1, 12)) {
    die(random_.chance(1, 2) ? CrashKind::kill : CrashKind::power_loss);
    return check_what_rests();
  }
  if (!host_->is_up()) {
    if (random_.chance(1, 3)) return start();
    trace("alone: " + workload_->step_while_alone());
    may_be_in_rollback_mode_ = true;
    if (options_.check_always && !workload_->is_deleted() && workload_->integrity_check() != "ok") fail("damaged");
    return;
  }
  if (random_.chance(1, 250)) return die(random_.chance(1, 2) ? CrashKind::kill : CrashKind::power_loss);
  if (random_.chance(1, 250)) {
    trace("stop");
    workload_->note_what_is_synced();
    return host_->stop();
  }
  if (random_.chance(1, 2)) return step_something();
  trace(workload_->step());
  if (options_.check_always) check_database_is_untouched();
}

void Simulation::round() {
  if (options_.lists_late) host_->list_late(random_.below(60));
  if (options_.prunes) host_->may_delete(!random_.chance(1, 6));
  if (random_.chance(1, 2)) {
    host_->make_faulty(random_);
  } else if (!host_->life().is_over()) {
    host_->heal();
  }
  if (random_.chance(1, 12)) {
    trace(workload_->is_deleted() || random_.chance(1, 2) ? workload_->replace_file() : workload_->delete_file());
    may_be_in_rollback_mode_ = true;
  } else if (workload_->is_deleted() && random_.chance(1, 2)) {
    workload_->reappear();
    trace("database made anew");
    may_be_in_rollback_mode_ = true;
  }
  if (!host_->is_up() && random_.chance(1, 20)) {
    host_->lose_state_directory();
    state_directory_lost_ = true;
    trace("state directory lost");
  }
  for (std::uint64_t i = 10 + random_.below(30); i > 0 && !failed(); --i) act();
  report_.faults = host_->faults();
  if (!failed()) check_replica();
  if (!failed()) check_database_is_untouched();
}

// Checks.

void Simulation::check_replica() {
  const std::string problem = oracle_.check(model_);
  if (!problem.empty()) return fail("the replica: " + problem);
  if (oracle_.newest_sequence() < called_published_) {
    return fail(fmt::format("segment {} was called published; the store ends at {}", called_published_,
                            oracle_.newest_sequence()));
  }
  const auto& points = oracle_.points();
  if (settled_once_ && !model_.has_from(durable_state_, points.back().hash)) {
    return fail(fmt::format("state {} was called settled, but the replica ends at {}", durable_state_,
                            points.back().state));
  }
  if (options_.prunes) check_promise();
  if (failed() || points.empty() || !random_.chance(1, 2)) return;
  check_restore(points.back());
  if (options_.prunes) return;
  if (!failed()) check_restore(points[random_.below(points.size())]);
}

Result<Bytes> Simulation::restored(Store& store, std::optional<std::uint64_t> sequence) {
  ++report_.restores;
  const auto files = make_real_file_system();
  InlineExecutor executor;
  RestoreOptions options;
  options.target.sequence = sequence;
  options.overwrite = Overwrite::replace;
  const std::string output = scratch_ / "restored.db";
  CAIRN_TRY(run_restore(store, "replica", output, options, *files, executor));
  return read_file(*files, output);
}

void Simulation::check_restore(const ReplicaOracle::Point& point) {
  const auto bytes = restored(*store_, point.sequence);
  if (!bytes) {
    return fail(fmt::format("restore of {}: {}: {}", point.sequence, name_of(bytes.error().kind()),
                            bytes.error().message()));
  }
  if (content_hash(*bytes) != point.hash) {
    return fail(fmt::format("what is restored of {} differs from what the objects say", point.sequence));
  }
  if (options_.lists_late) check_restore_by_late_listing(point);
}

// What was merged into something that is not listed yet may be refused. Whatever is restored is what it is called.
void Simulation::check_restore_by_late_listing(const ReplicaOracle::Point& point) {
  host_->look_without_faults([&](Store& store) {
    const auto by_sequence = restored(store, point.sequence);
    const auto newest = restored(store, {});
    if (by_sequence && content_hash(*by_sequence) != point.hash) {
      fail(fmt::format("what a late listing lets be restored of {} differs from what the objects say", point.sequence));
    }
    for (const auto* bytes : {&by_sequence, &newest}) {
      const bool is_refusal = *bytes || bytes->error().kind() == ErrorKind::not_found ||
                              bytes->error().kind() == ErrorKind::corrupt;
      if (!is_refusal) fail("restore by a late listing: " + bytes->error().message());
    }
    if (newest && content_hash(*newest) != oracle_.points().back().hash) {
      fail("the newest state that a late listing lets be restored is not the newest");
    }
  });
}

// Nobody but the application changes what is committed.
void Simulation::check_database_is_untouched() {
  if (workload_->is_deleted() || may_be_in_rollback_mode_) return;
  if (const std::string said = workload_->integrity_check(); said != "ok")
    return fail("the database is damaged: " + said);
  const Bytes image = workload_->image();
  if (content_hash(image) == model_.at(model_.newest()).hash) return;
  fail("the database changed without its application: " + model_.explain(image));
}

// Makes everything well and lets the replicator run until it says that all is published.
bool Simulation::settle() {
  settling_ = true;
  host_->may_delete(true);
  if (host_->life().is_over()) die(CrashKind::kill);
  host_->heal();
  if (workload_->is_deleted()) workload_->reappear();
  workload_->end_transactions();
  may_be_in_rollback_mode_ = true;
  std::string last = "not running";
  for (int i = 0; i < 500 && !failed(); ++i) {
    if (!host_->is_up()) start();
    for (const auto& step : {&Simulation::capture, &Simulation::publish, &Simulation::upload}) {
      if (host_->is_up() && !failed()) (this->*step)();
    }
    if (!host_->is_up() || failed()) continue;
    const ReplicatorStatus status = host_->replicator().status();
    if (status.settled && durable_state_ == model_.newest()) return true;
    last = fmt::format("{}, captured {}, published {}, hold {}, {} {}", name_of(status.phase), status.captured_sequence,
                       status.published_sequence, status.hold, status.database_trouble, status.store_trouble);
    const std::int64_t least_us = i < 100 ? 10'000 : 200'000;  // a store that was away is tried again after up to 30 s
    pass_time(std::clamp<std::int64_t>(next_us_ - now_.mono_us, least_us, 2'000'000));
  }
  if (!failed()) fail("it does not settle: " + last);
  return false;
}

void Simulation::check_end() {
  trace("end: settle");
  if (!settle()) return;
  check_replica();
  if (failed()) return;
  const Bytes image = workload_->image();
  const ReplicaOracle::Point& newest = oracle_.points().back();
  if (newest.hash != content_hash(image)) {
    return fail("settled, but the replica is not the database: " + describe_difference(image, oracle_.newest_image()));
  }
  check_restore(newest);
  const auto files = make_real_file_system();
  InlineExecutor executor;
  const auto verified = verify_replica(*store_, "replica", VerifyDepth::chain, scratch_.path(), *files, executor);
  if (!verified) return fail("verify: " + verified.error().message());
  if (!verified->problems.empty()) return fail("verify: " + verified->problems.front());
}

void Simulation::check_idle_is_silent() {
  rest();
  if (failed()) return;
  check_replica();
  const std::uint64_t calls = host_->store_calls();
  for (int i = 0; i < 10 && !failed(); ++i) {
    pass_time(2'100'000);
    for (const auto& step : {&Simulation::capture, &Simulation::publish, &Simulation::upload, &Simulation::keep_up}) {
      (this->*step)();
    }
  }
  if (host_->store_calls() != calls) fail(fmt::format("idle, but {} calls of the store", host_->store_calls() - calls));
}

void Simulation::check_restart_publishes_nothing(CrashKind kind) {
  const auto before = oracle_.keys();
  if (kind == CrashKind::power_loss) workload_->close_all();  // so that nothing of the database is lost
  const std::size_t newest = model_.newest();
  die(kind);
  if (!settle()) return;
  check_replica();
  if (!failed() && model_.newest() == newest && oracle_.keys() != before) {
    fail("a restart without a change published " + std::to_string(oracle_.keys().size() - before.size()) + " objects");
  }
}

void Simulation::keep_evidence() {
  const auto put = [&](const std::string& name, ByteView bytes) {
    stdfs::create_directories(stdfs::path(options_.keep + "/" + name).parent_path());
    std::ofstream(options_.keep + "/" + name, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  };
  const auto page = store_->list("");
  if (!page) return;
  for (const ObjectInfo& info : page->objects) {
    if (const auto object = store_->get(info.key)) put(info.key, object->bytes);
  }
  for (std::size_t i = 0; i <= model_.newest(); ++i) {
    if (const Bytes* image = model_.image(i)) put(fmt::format("states/{}.db", i), *image);
  }
}

SimulationReport Simulation::run() {
  workload_->create();
  const int rounds = options_.rounds > 0 ? options_.rounds : static_cast<int>(6 + random_.below(14));
  for (int i = 0; i < rounds && !failed(); ++i) {
    trace(fmt::format("round {}", i + 1));
    round();
  }
  if (!failed()) check_end();
  if (!failed()) check_idle_is_silent();
  if (!failed()) check_restart_publishes_nothing(random_.chance(1, 2) ? CrashKind::kill : CrashKind::power_loss);
  if (failed() && !options_.keep.empty()) keep_evidence();
  if (host_->is_up()) {
    const ReplicatorStatus status = host_->replicator().status();
    report_.wal_restarts = status.wal_restarts;
    report_.reconciles = status.reconciles;
    report_.rollovers = status.rollovers;
    host_->stop();
  }
  report_.commits = workload_->commits();
  report_.restore_points = oracle_.points().size();
  report_.snapshots = oracle_.snapshots();
  report_.merged = oracle_.merged_objects();
  return std::move(report_);
}

}  // namespace

SimulationReport simulate(const SimulationOptions& options) { return Simulation(options).run(); }

}  // namespace cairn::testing
