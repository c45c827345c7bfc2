#include "cli/replication.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <climits>

#include "cli/adopt.h"
#include "cli/places.h"
#include "s3/uri.h"
#include "sqlite/database.h"
#include "wal/wal.h"

namespace cairn::cli {

namespace {

constexpr std::size_t kDatabaseHeaderBytes = 100;

std::string host_name() {
  std::array<char, HOST_NAME_MAX + 1> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

std::string version_text(std::uint32_t version) {
  return fmt::format("{}.{}.{}", version / 1'000'000, version / 1000 % 1000, version % 1000);
}

Adopt adopt_of(AdoptSide side) { return side == AdoptSide::local ? Adopt::local : Adopt::none; }

}  // namespace

std::optional<Failure> Replication::open(const ReplicationOptions& options, System& system, const Say& say,
                                         std::unique_ptr<Replication>& out) {
  std::unique_ptr<Replication> replication(new Replication(options, system));
  Replication& r = *replication;
  r.real_database_ = real_path(options.database);
  if (Result<void> checked = r.check_database(say); !checked) {
    const bool may_publish = options.publish_without_database && checked.error().kind() == ErrorKind::not_found;
    if (!may_publish) return Failure{checked.error(), Origin::local};
    r.missing_database_ = checked.error();
  }

  Result<std::unique_ptr<RememberingStore>> store = open_shared_store(options.url, system.stores);
  if (!store) return Failure{store.error(), Origin::local};
  r.store_ = std::move(*store);
  const std::string replica_url = canonical_url(options.url, r.store_->url());
  r.state_directory_ = state_directory(options.state_root, r.real_database_, replica_url);
  const bool is_known = system.files->info(r.state_directory_).has_value();
  if (r.missing_database_ && !is_known) return Failure{*r.missing_database_, Origin::local};

  Result<Exclusion> exclusion = Exclusion::hold(r.real_database_, replica_url);
  if (!exclusion) return Failure{exclusion.error(), Origin::local};
  r.exclusion_ = std::move(*exclusion);
  if (options.check_store == ReplicationOptions::CheckStore::yes) {
    if (Result<void> checked = r.check_store(); !checked) return Failure{checked.error(), Origin::store};
  }
  if (options.adopt == AdoptSide::remote) {
    Result<std::string> kept = adopt_remote({*r.store_, r.real_database_, r.state_directory_, system});
    if (!kept) return Failure{kept.error(), r.origin_of(kept.error())};
    say(*kept);
  }
  if (Result<void> opened = r.open_replicator(); !opened) return Failure{opened.error(), Origin::local};
  if (r.missing_database_ && r.replicator_->status().spool_segments == 0) {
    return Failure{*r.missing_database_, Origin::local};
  }
  out = std::move(replication);
  return std::nullopt;
}

// What the Replicator would find too, but only once it has spoken to the store: a database that cannot be replicated
// must not leave a claim there.
Result<void> Replication::check_database(const Say& say) const {
  const Result<FileInfo> info = system_.files->info(real_database_);
  const bool missing = !info && info.error().kind() == ErrorKind::not_found;
  if (!info && !missing) return info.error();
  if (info && info->is_directory) {
    return Error(ErrorKind::invalid, fmt::format("{} is a folder: name the database file", options_.database));
  }
  if (missing || info->size_bytes == 0) {
    if (options_.wait_for_database == WaitForDatabase::yes || options_.adopt == AdoptSide::remote) return {};
    return Error(ErrorKind::not_found, missing ? fmt::format("{} does not exist", options_.database)
                                               : fmt::format("{} is empty: there is no database in it yet",
                                                             options_.database));
  }
  CAIRN_ASSIGN(const std::unique_ptr<File> file, system_.files->open(real_database_, OpenMode::read));
  std::array<std::byte, kDatabaseHeaderBytes> bytes{};
  CAIRN_ASSIGN(const std::size_t got, file->read_at(0, bytes));
  const Result<wal::DatabaseHeader> header = wal::parse_database_header(ByteView(bytes).first(got));
  if (!header) return header.error().with(options_.database);
  for (const auto& [who, version] : {std::pair(options_.database, header->sqlite_version),
                                     std::pair(std::string("this machine's library"), sqlite::library_version())}) {
    if (!wal::has_wal_reset_bug(version)) continue;
    say(fmt::format("{} is of SQLite {}, whose checkpoints can lose commits when they race a reset of the WAL; while "
                    "Cairn runs beside it that cannot happen: update SQLite to 3.51.3 or newer all the same",
                    who, version_text(version)));
    break;
  }
  return {};
}

// A store that is away may come back: that is the Replicator's business. One that is misconfigured will not.
Result<void> Replication::check_store() {
  const Result<ListPage> page = store_->list("", "", 1);
  if (page || page.error().kind() == ErrorKind::retry_later || page.error().kind() == ErrorKind::maybe_done) return {};
  return page.error();
}

Result<std::optional<Rest>> Replication::find_at_rest(const ReplicationOptions& options, System& system) {
  Replication one(options, system);
  one.real_database_ = real_path(options.database);
  std::string store_url;
  if (System::is_remote(options.url)) {
    CAIRN_ASSIGN(const s3::Location location, s3::parse_s3_url(options.url, {}));
    store_url = location.url();
  } else {
    CAIRN_ASSIGN(const std::unique_ptr<Store> store, open_store(options.url));
    store_url = store->url();
  }
  one.state_directory_ =
      state_directory(options.state_root, one.real_database_, canonical_url(options.url, store_url));
  return Replicator::find_at_rest(*system.files, one.replicator_options(), system.clock.now());
}

Result<void> Replication::open_replicator() {
  ReplicatorOptions options = replicator_options();
  if (options_.retention) {
    CAIRN_ASSIGN(options.pruner, make_pruner(*options_.retention, system_.clock, system_.readers(options_.url)));
  }
  if (!options_.level_windows_ms) options.level_windows_ms = default_level_windows_ms(store_->capabilities());
  CAIRN_ASSIGN(replicator_, Replicator::open(*store_, *system_.files, *system_.executor, system_.random, options));
  return {};
}

ReplicatorOptions Replication::replicator_options() const {
  ReplicatorOptions options;
  options.database = real_database_;
  options.state_directory = state_directory_;
  options.host = host_name();
  options.interval_ms = options_.interval_ms;
  options.wal_switch = options_.wal_switch;
  options.adopt = adopt_of(options_.adopt);
  options.spool_limit_bytes = options_.spool_limit_bytes;
  options.shared_spool = options_.shared_spool;
  options.segment_level = options_.segment_level;
  options.snapshot_level = options_.snapshot_level;
  options.copy_unchanged = options_.copy_unchanged;
  if (options_.level_windows_ms) options.level_windows_ms = *options_.level_windows_ms;
  options.kept_limit_bytes = options_.kept_limit_bytes;
  options.snapshot_interval_ms = options_.snapshot_interval_ms;
  options.stopwatch_us = [&clock = system_.clock] { return clock.now().mono_us; };
  if (System::is_remote(options_.url)) options.transfers = system_.transfers.get();
  options.boot = system_.boot;
  options.may_rest = options_.may_rest;
  options.known = options_.known;
  return options;
}

std::optional<Failure> Replication::run(const RunOptions& options, std::stop_token stop, const Drive& drive) {
  RunOptions own = options;
  own.wait_for_database = options_.wait_for_database;
  if (missing_database_) {  // what an earlier run has captured is published, and that is all
    own.wait_for_database = WaitForDatabase::yes;
    std::stop_source at_once;
    at_once.request_stop();
    stop = at_once.get_token();
  }
  const Result<void> result = drive ? drive(*replicator_, std::move(stop), own)
                                    : run_replicator(*replicator_, system_.clock, std::move(stop), own);
  return finish(result);
}

std::optional<Rest> Replication::rest(const Time& now) {
  std::optional<Rest> rest = replicator_->rest(now);
  if (!rest) return std::nullopt;
  {
    MutexLock lock(mutex_);
    last_status_ = rest->status;
    closed_ = true;
  }
  exclusion_.reset();
  return rest;
}

std::optional<Failure> Replication::finish(const Result<void>& result) {
  std::optional<Failure> failure;
  if (!result) {
    failure = Failure{result.error(), origin_of(result.error())};
  } else if (missing_database_) {
    failure = Failure{Error(missing_database_->kind(),
                            missing_database_->message() + "; what an earlier run had captured of it is published now"),
                      Origin::local};
  }
  {
    MutexLock lock(mutex_);
    last_status_ = replicator_->status();
    closed_ = true;
  }
  replicator_->close(StopMode::tidy);
  exclusion_.reset();
  return failure;
}

ReplicatorStatus Replication::status() const {
  MutexLock lock(mutex_);
  return closed_ ? last_status_ : replicator_->status();
}

std::optional<std::uint64_t> Replication::request_capture() {
  MutexLock lock(mutex_);
  return closed_ ? std::nullopt : std::optional(replicator_->request_capture());
}

bool Replication::database_is_there() const {
  const Result<FileInfo> info = system_.files->info(real_database_);
  return info && info->size_bytes > 0;
}

Origin Replication::origin_of(const Error& error) const {
  // A store that cannot do what is needed is configuration, like a database that cannot be replicated.
  if (error.kind() == ErrorKind::unsupported && store_->has_said(error)) return Origin::local;
  // Only objects can be of a format that is too new before the database is opened.
  const bool attaching = !replicator_ || replicator_->status().phase == Phase::attaching;
  if (error.kind() == ErrorKind::unsupported && attaching) return Origin::store;
  return store_->origin_of(error);
}

}  // namespace cairn::cli
