// Syncs, prunes and restores of two containers at random, by the real LayerManager: each may die at any step of its
// journal and at any request, on a store that fails now and then and whose clock jumps. Whatever happens, every sync
// that a history names comes back as it was; and when all is quiet again, nothing is left over that nobody names.
//
// CAIRN_SEEDS says how many seeds are tried.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/files.h"
#include "layer/history.h"
#include "layer/stored.h"
#include "store/memory_store.h"
#include "support/layer_world.h"
#include "support/recording_store.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;
using testing::describe_directory;
using testing::describe_sync;
using testing::difference;
using testing::kDayMs;
using testing::LayerWorld;
using testing::RecordingStore;

constexpr int kSteps = 40;

// Far behind the clock of the file system: what that says of a file's age proves nothing then, so each scan looks
// itself. Or far ahead of it: then a scan believes what it was told of a file before.
class JumpingClock final : public Clock {
 public:
  Time now() override { return {wall_ms, wall_ms * 1000}; }
  std::atomic<std::int64_t> wall_ms = 1000 * kDayMs;
};

class TestMachine final : public Machine {
 public:
  TestMachine(Clock& clock, Random& random) : clock_(clock), random_(random) {}
  Clock& clock() override { return clock_; }
  Random& random() override { return random_; }
  FileSystem& files() override { return real_->files(); }
  Executor& executor() override { return real_->executor(); }

 private:
  const std::unique_ptr<Machine> real_ = make_machine(2);
  Clock& clock_;
  Random& random_;
};

// A container's directory and what each of its syncs has to be.
struct Container {
  std::string name;
  LayerWorld world;
  std::map<std::uint64_t, std::string> syncs;
  bool is_interrupted = false;  // the next sync publishes first what the last one was at
  std::string away;             // a name that is not there for the moment
};

class World {
 public:
  explicit World(std::uint64_t seed) : random_(seed), machine_random_(seed + 1'000'000) {
    store_.can.late_names = random_.chance(1, 2);
    store_.can.copy_part = random_.chance(3, 4);
    if (random_.chance(1, 2)) clock_.wall_ms = 30'000 * kDayMs;
    containers_[0].name = "web";
    containers_[1].name = "db";
    store_.before = [this](const RecordingStore::Call&) { return before_call(); };
    store_.after = [this](const RecordingStore::Call&) { return after_call(); };
  }

  void step();
  void settle();
  std::uint64_t published() const { return published_; }
  std::uint64_t died() const { return died_; }
  std::uint64_t dropped() const { return dropped_; }
  std::uint64_t restored() const { return restored_; }

 private:
  Container& some() { return containers_[random_.below(2)]; }
  std::unique_ptr<LayerManager> open(Container& container, Store& store);
  std::optional<Error> before_call();
  std::optional<Error> after_call();
  layer::Hook mortal_hook(Container& container);
  static void come_or_go(Container& container, SeededRandom& random);
  static void come_back(Container& container);
  void change_one(const LayerWorld& world, const std::string& path);
  void change(const LayerWorld& world);
  void sync(Container& container);
  void sync_quietly(Container& container);
  void prune();
  void restore(Container& container);
  void check(Container& container);
  std::uint64_t newest_of(const Container& container);
  void end_life();

  SeededRandom random_, machine_random_;
  std::mutex mutex_;  // calls come from several threads
  JumpingClock clock_;
  TestMachine machine_{clock_, machine_random_};
  const std::unique_ptr<Store> inner_ = make_memory_store(clock_);
  RecordingStore store_{*inner_};
  std::array<Container, 2> containers_;
  bool is_dead_ = false, dies_after_call_ = false, has_faults_ = false;
  std::optional<std::uint64_t> calls_left_, points_left_;
  bool is_restless_ = false;  // names come and go at the points of the journal
  std::optional<std::uint64_t> prune_at_;  // calls until a prune falls between
  std::uint64_t published_ = 0, died_ = 0, dropped_ = 0, restored_ = 0;
};

std::optional<Error> World::before_call() {
  std::unique_lock lock(mutex_);
  if (is_dead_) return Error(ErrorKind::retry_later, "the process is dead");
  if (prune_at_ && (*prune_at_)-- == 0) {
    prune_at_.reset();
    const std::int64_t now_ms = clock_.wall_ms;
    lock.unlock();
    // What is at work is younger than the grace; the history gets shorter under it.
    const auto pruned = prune_layers(*inner_, now_ms, {.grace_ms = kDayMs, .keep_ms = 3 * kDayMs});
    lock.lock();
    dropped_ += pruned ? pruned->dropped_syncs : 0;
  }
  if (calls_left_ && (*calls_left_)-- == 0) {
    calls_left_.reset();
    is_dead_ = random_.chance(1, 2);  // before this call has its effect, or after it
    dies_after_call_ = !is_dead_;
    if (is_dead_) return Error(ErrorKind::retry_later, "the process is dead");
  }
  if (has_faults_ && random_.chance(1, 40)) return Error(ErrorKind::retry_later, "overloaded");
  return {};
}

std::optional<Error> World::after_call() {
  std::lock_guard lock(mutex_);
  if (std::exchange(dies_after_call_, false)) {
    is_dead_ = true;
    return Error(ErrorKind::retry_later, "the process is dead");
  }
  if (has_faults_ && random_.chance(1, 40)) return Error(ErrorKind::maybe_done, "the answer was lost");
  return {};
}

// A name is moved away, and is back later just as it was.
void World::come_or_go(Container& container, SeededRandom& random) {
  if (!container.away.empty()) return come_back(container);
  std::vector<std::string> names;
  for (const auto& name : fs::recursive_directory_iterator(container.world.upper())) names.push_back(name.path());
  if (names.empty()) return;
  std::ranges::sort(names);
  container.away = fs::path(names[random.below(names.size())]).lexically_relative(container.world.upper());
  fs::rename(container.world / container.away, container.world.beside("away"));
}

// Where it was, unless that is not there any more, or taken.
void World::come_back(Container& container) {
  if (container.away.empty()) return;
  const std::string from = container.world.beside("away"), to = container.world / std::exchange(container.away, "");
  std::error_code ignored;
  const bool fits = fs::is_directory(fs::path(to).parent_path(), ignored) && !fs::exists(fs::symlink_status(to));
  if (fits) fs::rename(from, to);
  else fs::remove_all(from);
}

// A process that is dead does nothing any more; and it may die here.
layer::Hook World::mortal_hook(Container& container) {
  return layer::Hook([this, &container](std::string_view) -> Result<void> {
    std::lock_guard lock(mutex_);
    if (is_restless_ && !is_dead_ && random_.chance(1, 4)) come_or_go(container, random_);
    if (points_left_ && (*points_left_)-- == 0) is_dead_ = true;
    if (is_dead_) return Error(ErrorKind::cancelled, "dead");
    return {};
  });
}

std::unique_ptr<LayerManager> World::open(Container& container, Store& store) {
  LayerOptions options = container.world.options();
  options.part_size_bytes = random_.chance(1, 2) ? 60'000 : 400'000;
  options.concurrent_uploads = 2;
  options.manifest_syncs = 3;
  auto manager = layer::open_manager(store, machine_, options, mortal_hook(container));
  CAIRN_CHECK(manager.has_value());
  CAIRN_CHECK((*manager)->register_container(container.name, container.world.upper()).has_value());
  return std::move(*manager);
}

// What changes from now on shows in a ctime.
void tick(const std::string& probe) {
  std::ofstream(probe) << "x";
  struct stat before {}, now {};
  ::stat(probe.c_str(), &before);
  do {
    ::chmod(probe.c_str(), 0600);
    ::stat(probe.c_str(), &now);
  } while (now.st_ctim.tv_sec == before.st_ctim.tv_sec && now.st_ctim.tv_nsec == before.st_ctim.tv_nsec);
}

void World::change_one(const LayerWorld& world, const std::string& path) {
  static constexpr const char* kOpaque = "trusted.overlay.opaque";
  // Small ones share a frame with what follows, large ones fill it, big ones have their own.
  static constexpr std::array<std::size_t, 6> kSizes{40, 40, 40, 150'000, 1'200'000, 2'300'000};
  const fs::file_status is = fs::symlink_status(path);
  const bool is_root = ::geteuid() == 0;
  switch (random_.below(10)) {
    case 0:
    case 1:
      fs::remove_all(path);
      return;
    case 2:
      if (!fs::exists(is)) fs::create_directory(path);
      return;
    case 3:
      if (!fs::exists(is)) fs::create_symlink("a", path);
      return;
    case 4:
    case 5: {  // another name of a file
      std::vector<fs::path> files;
      for (const auto& name : fs::recursive_directory_iterator(world.upper())) {
        if (name.symlink_status().type() == fs::file_type::regular) files.push_back(name.path());
      }
      std::ranges::sort(files);
      if (!fs::exists(is) && !files.empty()) fs::create_hard_link(files[random_.below(files.size())], path);
      return;
    }
    case 6:
      if (is_root && !fs::exists(is)) CAIRN_CHECK(::mknod(path.c_str(), S_IFCHR, 0) == 0);
      else if (is_root && fs::is_directory(is) && ::lsetxattr(path.c_str(), kOpaque, "y", 1, XATTR_CREATE) != 0)
        CAIRN_CHECK(::lremovexattr(path.c_str(), kOpaque) == 0);
      return;
    default:
      if (fs::exists(is) && !fs::is_regular_file(is)) return;
      if (random_.chance(1, 2)) fs::remove(path);  // else all of its names change
      world.write(fs::path(path).lexically_relative(world.upper()),
                  LayerWorld::noise(random_.below(3), kSizes[random_.below(kSizes.size())]));
  }
}

// Few names and few contents, with few times: states come back, and both containers have the same layers now and then.
void World::change(const LayerWorld& world) {
  static constexpr std::array kNames{"a", "b", "d", "d/e", "d/f", "d/g", "d/g/h", "i"};
  for (std::uint64_t n = 1 + random_.below(3); n > 0; --n) {
    const std::string path = world / kNames[random_.below(kNames.size())];
    std::error_code ignored;
    if (fs::is_directory(fs::path(path).parent_path(), ignored)) change_one(world, path);
  }
  if (random_.chance(1, 6)) {
    for (const auto& name : fs::directory_iterator(world.upper())) fs::remove_all(name);
  }
  const timespec time{static_cast<time_t>(1'600'000'000 + random_.below(2)), 7};
  const timespec times[2] = {time, time};
  for (const auto& name : fs::recursive_directory_iterator(world.upper())) {
    CAIRN_CHECK(::utimensat(AT_FDCWD, name.path().c_str(), times, AT_SYMLINK_NOFOLLOW) == 0);
  }
  CAIRN_CHECK(::utimensat(AT_FDCWD, world.upper().c_str(), times, 0) == 0);
}

void World::sync(Container& container) {
  if (random_.chance(1, 3)) calls_left_ = random_.below(14);
  if (random_.chance(1, 3)) points_left_ = random_.below(25);
  if (random_.chance(1, 3)) prune_at_ = random_.below(14);
  has_faults_ = random_.chance(1, 2);
  const std::uint64_t unrest = random_.below(6);
  is_restless_ = unrest == 0;
  const bool is_calm = unrest > 1;
  const std::string state = describe_directory(container.world.upper());
  const std::uint64_t before = newest_of(container);
  std::jthread mover;
  if (unrest == 1) {
    mover = std::jthread([&, random = SeededRandom(random_.next())](const std::stop_token& stop) mutable {
      while (!stop.stop_requested()) come_or_go(container, random);
    });
  }
  const auto synced = open(container, store_)->sync_layer(container.name);
  if (mover.joinable()) mover = {};
  EXPECT_TRUE(synced || synced.error().kind() != ErrorKind::conflict) << synced.error().message();
  died_ += is_dead_ ? 1 : 0;
  end_life();
  const std::uint64_t after = newest_of(container);
  // Of an interrupted one that was gone on with after changes, or under them, nobody knows the state.
  if (is_calm && !container.is_interrupted && after > before) container.syncs[after] = state;
  if (is_calm && synced) container.syncs.insert_or_assign(after, state);
  EXPECT_TRUE(container.is_interrupted || !is_calm || after <= before + 1);
  published_ += after - before;
  container.is_interrupted = !synced;
}

std::uint64_t World::newest_of(const Container& container) {
  const auto stored = layer::read_manifest(*inner_, container.name);
  return stored ? stored->manifest.head().sequence : 0;
}

void World::end_life() {
  is_dead_ = dies_after_call_ = has_faults_ = is_restless_ = false;
  calls_left_ = points_left_ = prune_at_ = std::nullopt;
}

void World::prune() {
  LayerPruneOptions options;
  options.grace_ms = static_cast<std::int64_t>(random_.below(3)) * kDayMs;
  if (random_.chance(1, 2)) options.keep_ms = static_cast<std::int64_t>(random_.below(5)) * kDayMs;
  if (random_.chance(1, 3)) calls_left_ = random_.below(14);
  has_faults_ = random_.chance(1, 3);
  // This machine's clock may be wrong by a day.
  const std::int64_t skew_ms = static_cast<std::int64_t>(random_.below(2 * kDayMs)) - kDayMs;
  const auto pruned = prune_layers(store_, clock_.wall_ms + skew_ms, options);
  dropped_ += pruned ? pruned->dropped_syncs : 0;
  end_life();
}

void World::restore(Container& container) {
  const auto history = layer_history(*inner_, container.name);
  if (!history) return;
  LayerRestoreOptions options;
  options.sequence = (*history)[random_.below(history->size())].sequence;
  options.overwrite = true;
  const std::string target = container.world.beside("restored");
  const auto manager = open(container, *inner_);
  const auto restored = manager->restore_layer(container.name, target, options);
  ASSERT_TRUE(restored) << restored.error().message();
  EXPECT_EQ(difference(describe_directory(target), container.syncs.at(*options.sequence)), "");
  ++restored_;
}

// A sync that was interrupted and gone on with after changes is of no one moment: then it is only remembered, and has
// to stay what it is.
void World::check(Container& container) {
  const auto history = layer_history(*inner_, container.name);
  if (!history) {
    EXPECT_EQ(history.error().kind(), ErrorKind::not_found) << history.error().message();
    return;
  }
  for (const LayerSnapshot& sync : *history) {
    const std::string is = describe_sync(*inner_, container.name, sync.sequence);
    const auto [should_be, is_new] = container.syncs.emplace(sync.sequence, is);
    EXPECT_EQ(difference(is, should_be->second), "") << container.name << " " << sync.sequence;
  }
  const auto verified = verify_layers(*inner_, container.name, machine_);
  ASSERT_TRUE(verified) << verified.error().message();
  EXPECT_TRUE(verified->problems.empty()) << verified->problems.front();
}

void World::step() {
  clock_.wall_ms += static_cast<std::int64_t>(random_.below(2 * kDayMs));
  if (random_.chance(1, 8)) clock_.wall_ms -= static_cast<std::int64_t>(random_.below(6 * kDayMs));
  Container& container = some();
  tick(container.world.beside("probe"));
  if (random_.chance(1, 3)) come_or_go(container, random_);
  switch (random_.below(8)) {
    case 0: restore(container); break;
    case 1:
    case 2: prune(); break;
    case 3: sync(container); break;  // again, or on, without a change
    default:
      change(container.world);
      sync(container);
  }
  for (Container& each : containers_) check(each);
}

void World::sync_quietly(Container& container) {
  come_back(container);
  const auto manager = open(container, store_);
  const auto synced = manager->sync_layer(container.name);
  ASSERT_TRUE(synced) << synced.error().message();
  const std::string state = describe_directory(container.world.upper());
  if (*synced) container.syncs[(*synced)->sequence] = state;
  EXPECT_EQ(difference(describe_sync(*inner_, container.name), state), "");
  EXPECT_FALSE(*manager->check_for_changes(container.name));
}

void World::settle() {
  clock_.wall_ms += 100 * kDayMs;  // notices of prunes that died count no longer
  for (Container& each : containers_) sync_quietly(each);
  clock_.wall_ms += 10 * kDayMs;
  const auto pruned = prune_layers(store_, clock_.wall_ms, {.grace_ms = 0, .keep_ms = {}});
  ASSERT_TRUE(pruned) << pruned.error().message();
  std::set<std::string> named;
  for (Container& each : containers_) {
    check(each);
    const auto history = layer::read_history(*inner_, each.name);
    ASSERT_TRUE(history);
    named.insert(layer::manifest_key(each.name));
    for (const auto& part : history->stored.manifest.older) named.insert(part.object);
    for (const auto& sync : history->whole.syncs) {
      named.insert(sync.layer.object);
      named.insert(layer::meta_key(sync.layer.digest));
    }
  }
  const auto left = layer::list_all(*inner_, "");
  for (const ObjectInfo& object : *left) {
    EXPECT_TRUE(named.contains(object.key)) << object.key << " is left over";
  }
  EXPECT_TRUE(inner_->list_uploads("")->empty());
}

TEST(LayerRandom, WhateverDiesAndFailsEverySyncOfTheHistoryComesBack) {
  const char* const wanted = std::getenv("CAIRN_SEEDS");
  const std::uint64_t seeds = wanted != nullptr ? std::strtoull(wanted, nullptr, 10) : 6;
  std::uint64_t published = 0, died = 0, dropped = 0, restored = 0;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    World world(seed);
    for (int i = 0; i < kSteps; ++i) {
      world.step();
      ASSERT_FALSE(HasFailure()) << "seed " << seed << ", step " << i;
    }
    world.settle();
    ASSERT_FALSE(HasFailure()) << "seed " << seed << ", at the end";
    published += world.published();
    died += world.died();
    dropped += world.dropped();
    restored += world.restored();
  }
  EXPECT_GE(published, 5 * seeds);
  EXPECT_GE(died, 2 * seeds);
  EXPECT_GE(dropped, seeds);
  EXPECT_GE(restored, seeds);
}

}  // namespace
}  // namespace cairn
