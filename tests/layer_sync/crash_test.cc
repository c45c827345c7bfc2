// A sync that ends between any two steps of its journal, as a thrown-away manager and as a killed process: the next one
// goes on, what the store has comes out equal to the directory, and no part that was acknowledged is sent again.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <map>
#include <ostream>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "store/directory_store.h"
#include "store/memory_store.h"
#include "support/layer_world.h"
#include "support/recording_store.h"
#include "support/scratch.h"

namespace cairn {
namespace {

using testing::difference_to;
using testing::LayerWorld;
using testing::RecordingStore;

constexpr std::uint64_t kPartBytes = 190'000;

LayerOptions options_of(const LayerWorld& world) {
  LayerOptions options = world.options();
  options.part_size_bytes = kPartBytes;
  options.concurrent_uploads = 2;
  return options;
}

// Where a sync is to end: at the n-th time that it passes a step of the journal.
struct At {
  std::string step;
  int time = 1;
  std::string text() const { return step + ", time " + std::to_string(time); }
};

layer::Hook end_at(const At& at, bool* ended) {
  return layer::Hook([at, ended, passed = 0](std::string_view name) mutable -> Result<void> {
    if (name != at.step || ++passed != at.time) return {};
    *ended = true;
    return Error(ErrorKind::cancelled, "thrown away");
  });
}

layer::Hook kill_at(const At& at) {
  return layer::Hook([at, passed = 0](std::string_view name) mutable {
    if (name == at.step && ++passed == at.time) ::kill(::getpid(), SIGKILL);
    return Result<void>();
  });
}

// All steps that a sync passes, each once, in alphabetical order: how uploads overtake one another does not count.
using Steps = std::vector<std::string>;
layer::Hook note_in(std::set<std::string>* steps) {
  return layer::Hook([steps](std::string_view name) {
    steps->emplace(name);
    return Result<void>();
  });
}
Steps list(const std::set<std::string>& steps) { return {steps.begin(), steps.end()}; }

Steps with(Steps steps, const Steps& more) {
  steps.insert(steps.end(), more.begin(), more.end());
  std::ranges::sort(steps);
  return steps;
}

// Of any sync that sends more than one part. The names of the tests are made of these: a step that is new, or that is
// not passed any more, has to be noted here.
const Steps kAlways{"planned",      "resumed",           "upload-wanted",     "upload-begun",     "upload-journaled",
                    "part-arrived", "part-acknowledged", "last-part-written", "archived",         "wanted",
                    "completing",   "upload-completed",  "named",             "meta-put",         "described",
                    "publishing",   "published",         "taken-over",        "tidied"};
const Steps kParts{"part-written", "part-journaled"};
const Steps kCopied{"completed", "copy-not-journaled", "copy-begun", "copied"};
const Steps kOnePut{"layer-put-begins", "layer-put"};
const Steps kLost{"upload-given-up", "upload-forgotten"};

struct Scenario {
  const char* name;
  Steps steps;
};
struct Case {
  Scenario scenario;
  std::string step;
};
void PrintTo(const Case& one, std::ostream* to) { *to << one.scenario.name << " " << one.step; }
std::vector<Case> cases_of(const std::vector<Scenario>& scenarios) {
  std::vector<Case> cases;
  for (const Scenario& scenario : scenarios) {
    for (const std::string& step : scenario.steps) cases.push_back({scenario, step});
  }
  return cases;
}
std::string name_of_case(const ::testing::TestParamInfo<Case>& info) {
  std::string name = info.param.scenario.name + std::string("_");
  bool begins = true;
  for (const char letter : info.param.step) {
    if (letter != '-') name += begins ? static_cast<char>(std::toupper(letter)) : letter;
    begins = letter == '-';
  }
  return name;
}

// The parts that an interrupted sync has left in the store.
std::map<int, std::uint64_t> arrived(Store& store) {
  std::map<int, std::uint64_t> parts;
  const auto uploads = store.list_uploads("tmp/");
  for (const UploadInfo& upload : *uploads) {
    const auto listed = store.list_parts(upload.key, upload.upload_id);
    for (const PartInfo& part : *listed) parts[part.number] = part.size_bytes;
  }
  return parts;
}

void fill(const LayerWorld& world) {
  world.fill();
  world.write("beside the big one, with a name that is longer than what a string holds in itself", "small");
  world.write("big", LayerWorld::noise(1, (512u << 10) + 12345));
  world.write("behind", "small, and behind the big one");
}

void expect_whole(const LayerWorld& world, Store& store, const std::string& at) {
  for (const auto& file : std::filesystem::recursive_directory_iterator(world.state() + "/spool"))
    EXPECT_FALSE(file.is_regular_file()) << at << ": " << file.path();
  EXPECT_EQ(difference_to(store, "web", world.upper()), "") << at;
  EXPECT_TRUE(store.list("tmp/")->objects.empty()) << at << ": " << store.list("tmp/")->objects[0].key;
  const bool is_prunes = at.starts_with("copy-not-journaled");
  EXPECT_EQ(store.list_uploads("")->size(), is_prunes ? 1u : 0u) << at;
  if (!is_prunes) return;
  const auto pruned = prune_layers(store, 1'000'000, {.grace_ms = 0, .keep_ms = {}});
  ASSERT_TRUE(pruned) << pruned.error().message();
  EXPECT_EQ(pruned->aborted_uploads, 1u);
  EXPECT_TRUE(store.list_uploads("")->empty());
  EXPECT_EQ(difference_to(store, "web", world.upper()), "");
}

// Stores name an upload late, by a copy, or not at all.
enum class Naming { late, copy, never };
// increment: of a big file, most of which is copied from the first layer.
enum class Layer { first, increment };

struct Kind {
  Naming naming;
  Layer layer;
  Scenario scenario;
};
const std::vector<Kind>& kinds() {
  static const std::vector<Kind> all{
      {Naming::late, Layer::first, {"FirstWithLateNames", with(kAlways, kParts)}},
      {Naming::copy, Layer::first, {"FirstWithCopies", with(with(kAlways, kParts), kCopied)}},
      {Naming::never, Layer::first, {"FirstWithRandomNames", with(with(kAlways, kParts), {"completed"})}},
      {Naming::copy, Layer::increment, {"IncrementWithCopiedBlocks", with(with(kAlways, kParts), kCopied)}},
      {Naming::late, Layer::increment, {"IncrementWithLateNames", with(kAlways, kParts)}},
  };
  return all;
}
std::vector<Scenario> scenarios_of_kinds() {
  std::vector<Scenario> scenarios;
  for (const Kind& kind : kinds()) scenarios.push_back(kind.scenario);
  return scenarios;
}

// A store, and a directory that is about to be synced to it.
struct Prepared {
  explicit Prepared(const Kind& kind) {
    fill(world);
    store.can.late_names = kind.naming == Naming::late;
    store.can.copy_part = kind.naming != Naming::never;
    if (kind.layer == Layer::first) return;
    world.write("big", LayerWorld::noise(1, (5u << 20) + 12345));
    options.part_size_bytes = 4 * kPartBytes;
    EXPECT_TRUE(world.open(store, options, {})->sync_layer("web"));
    std::fstream(world / "big", std::ios::in | std::ios::out | std::ios::binary).seekp(2 << 20) << "changed";
    store.forget_calls();
  }
  const LayerWorld world;
  LayerOptions options = options_of(world);
  const std::unique_ptr<Store> inner = make_memory_store();
  RecordingStore store{*inner};
};

TEST(LayerCrash, EachStepOfTheJournalIsKnown) {
  for (const Kind& kind : kinds()) {
    SCOPED_TRACE(kind.scenario.name);
    Prepared at_hand(kind);
    std::set<std::string> steps;
    ASSERT_TRUE(at_hand.world.open(at_hand.store, at_hand.options, note_in(&steps))->sync_layer("web"));
    EXPECT_EQ(list(steps), kind.scenario.steps);
    const bool may_copy = kind.layer == Layer::increment && kind.naming != Naming::never;
    EXPECT_EQ(at_hand.store.count(Operation::copy_part) > 1, may_copy);
  }
}

// False: it is not passed so often.
bool end_and_go_on(const Kind& kind, const At& at) {
  SCOPED_TRACE(at.text());
  Prepared at_hand(kind);
  const LayerWorld& world = at_hand.world;
  RecordingStore& store = at_hand.store;
  std::uint64_t acknowledged = 0;
  {
    bool ended = false;
    const auto manager = world.open(store, at_hand.options, end_at(at, &ended));
    const auto synced = manager->sync_layer("web");
    EXPECT_EQ(synced.has_value(), !ended);
    if (synced || !ended) return false;
    EXPECT_EQ(synced.error().kind(), ErrorKind::cancelled) << synced.error().message();
    acknowledged = manager->sync_state("web")->pending_parts_done;
  }
  const auto there = arrived(store);
  store.forget_calls();
  const auto manager = world.open(store, at_hand.options, {});
  const auto synced = manager->sync_layer("web");
  EXPECT_TRUE(synced) << synced.error().message();
  if (!synced) return false;
  if (kind.naming == Naming::never) {
    EXPECT_EQ(difference_to(store, "web", world.upper()), "");
  } else {
    expect_whole(world, store, at.text());
  }
  std::size_t again = 0;
  for (const auto& call : store.calls()) {
    if (call.operation == Operation::put_part && there.contains(call.part)) ++again;
  }
  EXPECT_LE(again, there.size() - std::min<std::size_t>(acknowledged, there.size()));
  EXPECT_FALSE(*manager->check_for_changes("web"));
  EXPECT_FALSE(manager->sync_state("web")->upload_pending);
  return true;
}

class LayerThrownAway : public ::testing::TestWithParam<Case> {};

TEST_P(LayerThrownAway, AtTheStepGoesOn) {
  const auto is_it = [](const Kind& kind) { return std::string(kind.scenario.name) == GetParam().scenario.name; };
  const Kind& kind = *std::ranges::find_if(kinds(), is_it);
  int times = 0;
  while (end_and_go_on(kind, {GetParam().step, times + 1})) ++times;
  EXPECT_GT(times, 0) << GetParam().step << " is not passed";
}
INSTANTIATE_TEST_SUITE_P(LayerCrash, LayerThrownAway, ::testing::ValuesIn(cases_of(scenarios_of_kinds())),
                         name_of_case);

// How a process ended that did nothing but sync.
int sync_in_child(const LayerWorld& world, Store& store, layer::Hook hook) {
  const pid_t child = ::fork();
  if (child == 0) {
    const auto manager = world.open_in_child(store, options_of(world), std::move(hook));
    ::_exit(manager->sync_layer("web") ? 0 : 1);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return status;
}
bool was_killed(int status) {
  if (WIFSIGNALED(status)) return true;
  EXPECT_EQ(WEXITSTATUS(status), 0);
  return false;
}

const Scenario& in_a_directory() {
  static const Scenario scenario{"InADirectory", with(kAlways, kParts)};
  return scenario;
}

TEST(LayerCrash, EachStepOfASyncToADirectoryIsKnown) {
  const LayerWorld world;
  fill(world);
  const auto store = *make_directory_store(world.beside("store"));
  std::set<std::string> steps;
  ASSERT_TRUE(world.open(*store, options_of(world), note_in(&steps))->sync_layer("web"));
  EXPECT_EQ(list(steps), in_a_directory().steps);
}

// The same with a process that is killed, and sources that change before the next one runs.
class LayerKilled : public ::testing::TestWithParam<Case> {};

TEST_P(LayerKilled, AtTheStepGoesOnAndSeesWhatHasChangedSince) {
  for (At at{GetParam().step};; ++at.time) {
    SCOPED_TRACE(at.text());
    const LayerWorld world;
    fill(world);
    const auto store = *make_directory_store(world.beside("store"));
    const bool killed = was_killed(sync_in_child(world, *store, kill_at(at)));
    if (!killed) {
      EXPECT_GT(at.time, 1) << at.step << " is not passed";
      return;
    }
    world.write("behind", "changed");
    world.write("etc/hosts", "changed");
    if (at.time % 2 == 0) world.write("big", LayerWorld::noise(2, (512u << 10) + 500));
    const auto manager = world.open(*store, options_of(world), {});
    const auto synced = manager->sync_layer("web");
    ASSERT_TRUE(synced) << synced.error().message();
    expect_whole(world, *store, at.text());
    EXPECT_FALSE(*manager->check_for_changes("web"));
  }
}
INSTANTIATE_TEST_SUITE_P(LayerCrash, LayerKilled, ::testing::ValuesIn(cases_of({in_a_directory()})), name_of_case);

// A directory that was read, but of which no part has anything yet, vanishes before the next sync goes on, and is back
// after it as it was: the layer does not have it, and the catalogue must not say so.
TEST(LayerCrash, DirectoryThatVanishesBeforeTheSyncGoesOnIsStoredWhenItIsBack) {
  for (const bool is_back : {true, false}) {
    const LayerWorld world;
    world.fill();
    world.write("a-first", LayerWorld::noise(1, 500'000));
    world.write("big", LayerWorld::noise(2, 3'000'000));
    LayerOptions options = options_of(world);
    options.concurrent_uploads = 64;
    const auto inner = make_memory_store();
    RecordingStore store(*inner);
    store.before = [](const RecordingStore::Call& call) -> std::optional<Error> {
      if (call.operation != Operation::put_part || call.part != 1) return {};
      return Error(ErrorKind::retry_later, "away");
    };
    EXPECT_FALSE(world.open(store, options, {})->sync_layer("web"));
    store.before = {};
    std::filesystem::rename(world / "etc", world.beside("etc"));
    std::filesystem::remove(world / "two");
    bool is_to_come = is_back;
    const layer::Hook hook([&](std::string_view point) -> Result<void> {
      if (point == "taken-over" && std::exchange(is_to_come, false))
        std::filesystem::rename(world.beside("etc"), world / "etc");
      return {};
    });
    const auto synced = world.open(store, options, hook)->sync_layer("web");
    ASSERT_TRUE(synced && *synced) << synced.error().message();
    EXPECT_EQ(difference_to(*inner, "web", world.upper()), "") << is_back;
  }
}

// The upload of a sync has been dropped by the store: all of it is sent again from the spool. Ended at any point of
// that, it goes on, and publishes what was read at first, although nothing of that is in the directory any more.
struct LostUpload {
  explicit LostUpload(Store& inner) : store(inner) {
    fill(world);
    was = testing::describe_directory(world.upper());
    RecordingStore without_end(store);
    without_end.before = [](const RecordingStore::Call& call) -> std::optional<Error> {
      if (call.operation != Operation::complete_new) return {};
      return Error(ErrorKind::retry_later, "away");
    };
    EXPECT_FALSE(world.open(without_end, options_of(world), {})->sync_layer("web"));
    const auto uploads = store.list_uploads("tmp/");
    for (const UploadInfo& upload : *uploads)
      EXPECT_TRUE(store.abort_upload(upload.key, upload.upload_id));
    for (const auto& entry : std::filesystem::directory_iterator(world.upper()))
      std::filesystem::remove_all(entry.path());
    world.write("other", "contents, and nothing of what was");
  }
  // What is there at the end, wherever it was ended.
  void expect_both_states(Store& asked, const std::string& at) {
    const auto manager = world.open(asked, options_of(world), {});
    const auto synced = manager->sync_layer("web");
    ASSERT_TRUE(synced) << at << ": " << synced.error().message();
    EXPECT_EQ(testing::difference(testing::describe_sync(store, "web", 1), was), "") << at;
    expect_whole(world, store, at);
    EXPECT_EQ(manager->sync_state("web")->sequence, 2u) << at;
    EXPECT_FALSE(*manager->check_for_changes("web")) << at;
  }

  Store& store;
  const LayerWorld world;
  std::string was;
};

// Of a store with late names, of one without, and of a directory. A small sync follows each.
const std::vector<Scenario>& lost_uploads() {
  static const std::vector<Scenario> all{
      {"LostUploadWithLateNames", with(with(kAlways, kLost), kOnePut)},
      {"LostUploadWithCopies", with(with(with(kAlways, kLost), kOnePut), kCopied)},
      {"LostUploadInADirectory", with(with(kAlways, kLost), kOnePut)},
  };
  return all;
}
bool has_late_names(const Scenario& scenario) { return std::string(scenario.name) != "LostUploadWithCopies"; }
bool is_killed(const Scenario& scenario) { return std::string(scenario.name) == "LostUploadInADirectory"; }

TEST(LayerCrash, EachStepOfSendingALostUploadAgainIsKnown) {
  for (const Scenario& scenario : lost_uploads()) {
    SCOPED_TRACE(scenario.name);
    testing::Scratch scratch("lost-upload");
    const auto inner = is_killed(scenario) ? *make_directory_store(scratch / "store") : make_memory_store();
    LostUpload lost(*inner);
    RecordingStore store(*inner);
    store.can.late_names = store.can.late_names && has_late_names(scenario);
    std::set<std::string> steps;
    ASSERT_TRUE(lost.world.open(store, options_of(lost.world), note_in(&steps))->sync_layer("web"));
    EXPECT_EQ(list(steps), scenario.steps);
  }
}

class LayerLostUpload : public ::testing::TestWithParam<Case> {
 protected:
  // False: the step is not passed so often.
  static bool throw_away(const At& at) {
    const auto inner = make_memory_store();
    LostUpload lost(*inner);
    RecordingStore store(*inner);
    store.can.late_names = has_late_names(GetParam().scenario);
    std::uint64_t acknowledged = 0;
    {
      bool ended = false;
      const auto manager = lost.world.open(store, options_of(lost.world), end_at(at, &ended));
      const auto synced = manager->sync_layer("web");
      EXPECT_EQ(synced.has_value(), !ended);
      if (synced || !ended) return false;
      acknowledged = manager->sync_state("web")->pending_parts_done;
    }
    const auto there = arrived(*inner);
    store.forget_calls();
    lost.expect_both_states(store, at.text());
    std::size_t again = 0;
    for (const auto& call : store.calls()) {
      if (call.operation == Operation::put_part && there.contains(call.part)) ++again;
    }
    EXPECT_LE(again, there.size() - std::min<std::size_t>(acknowledged, there.size()));
    return true;
  }
  static bool kill(const At& at) {
    testing::Scratch scratch("lost-upload");
    const auto store = *make_directory_store(scratch / "store");
    LostUpload lost(*store);
    if (!was_killed(sync_in_child(lost.world, *store, kill_at(at)))) return false;
    lost.expect_both_states(*store, at.text());
    return true;
  }
};

TEST_P(LayerLostUpload, EndedAtTheStepIsSentAgain) {
  for (At at{GetParam().step};; ++at.time) {
    SCOPED_TRACE(at.text());
    if (is_killed(GetParam().scenario) ? kill(at) : throw_away(at)) continue;
    EXPECT_GT(at.time, 1) << at.step << " is not passed";
    return;
  }
}
INSTANTIATE_TEST_SUITE_P(LayerCrash, LayerLostUpload, ::testing::ValuesIn(cases_of(lost_uploads())), name_of_case);

// The last part is damaged in the spool of a sync that has read all: it is read again. Thrown away once more before
// that is done, it is still not taken for complete.
TEST(LayerCrash, ThrownAwayWhileADamagedLastPartIsMadeAgain) {
  constexpr int kLast = 4;
  for (const bool late_names : {true, false}) {
    const LayerWorld world;
    fill(world);
    const auto inner = make_memory_store();
    RecordingStore store(*inner);
    store.can.late_names = late_names;
    {
      store.before = [](const RecordingStore::Call& call) -> std::optional<Error> {
        if (call.operation != Operation::put_part || call.part < kLast) return {};
        return Error(ErrorKind::retry_later, "away");
      };
      EXPECT_FALSE(world.open(store, options_of(world), {})->sync_layer("web"));
    }
    store.before = {};
    std::string last;
    for (const auto& file : std::filesystem::recursive_directory_iterator(world.state() + "/spool"))
      if (file.is_regular_file()) last = std::max(last, file.path().string());
    ASSERT_TRUE(last.ends_with("part-00004")) << last;
    std::filesystem::resize_file(last, 1000);
    {
      const layer::Hook hook([](std::string_view point) -> Result<void> {
        if (point == "resumed") return Error(ErrorKind::cancelled, "thrown away");
        return {};
      });
      EXPECT_FALSE(world.open(store, options_of(world), hook)->sync_layer("web"));
    }
    const auto synced = world.open(store, options_of(world), {})->sync_layer("web");
    ASSERT_TRUE(synced) << synced.error().message();
    expect_whole(world, store, "late names: " + std::to_string(late_names));
  }
}

}  // namespace
}  // namespace cairn
