// The tools of the simulation, by themselves: the model sees what SQLite would recover, and the workload reaches what
// it is meant to reach.
#include "support/workload.h"

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <cstdint>
#include <map>
#include <set>

#include "support/scratch.h"

namespace cairn::testing {
namespace {

TEST(PageModel, SeesWhatACheckpointOfACopyGives) {
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    Scratch scratch("model"), copies("copies");
    SeededRandom random(seed);
    PageModel model;
    Workload workload(scratch / "app.db", random_options(random), random, model);
    workload.create();
    for (int i = 0; i < 60; ++i) workload.step();
    workload.end_transactions();
    const Bytes by_copy = committed_image_by_copy(workload.path(), copies.path());
    ASSERT_FALSE(model.empty());
    EXPECT_EQ(model.at(model.newest()).hash, content_hash(by_copy))
        << "seed " << seed << ": " << describe_difference(by_copy, *model.image(model.newest()));
  }
}

TEST(PageModel, FindsStatesInOrder) {
  PageModel model;
  const Bytes a(512, std::byte{1}), b(512, std::byte{2});
  for (const Bytes& image : {a, b, b, a}) model.observe(image);
  EXPECT_EQ(model.newest(), 2u);  // the same state twice in a row is one
  EXPECT_EQ(model.find_from(0, content_hash(a)), 0u);
  EXPECT_EQ(model.find_from(1, content_hash(a)), 2u);
  EXPECT_FALSE(model.has_from(2, content_hash(b)));
}

TEST(Workload, EveryPageSizeComes) {
  SeededRandom random(1);
  std::set<std::uint32_t> seen, all;
  for (int i = 0; i < 1000; ++i) seen.insert(random_options(random).page_size);
  for (std::uint32_t size = 512; size <= 65536; size *= 2) all.insert(size);
  EXPECT_EQ(seen, all);
}

TEST(Workload, IsTheSameForTheSameSeed) {
  const auto run = [](std::uint64_t seed) {
    Scratch scratch("same");
    SeededRandom random(seed);
    PageModel model;
    Workload workload(scratch / "app.db", random_options(random), random, model);
    workload.create();
    std::string log;
    for (int i = 0; i < 80; ++i) log += workload.step() + "\n";
    return log + std::to_string(model.at(model.newest()).hash.low);
  };
  EXPECT_EQ(run(7), run(7));
  EXPECT_NE(run(7), run(8));
}

TEST(Workload, DoesEveryKindOfThing) {
  std::map<std::string, int> seen;
  std::size_t states = 0;
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    Scratch scratch("kinds");
    SeededRandom random(seed);
    PageModel model;
    Workload workload(scratch / "app.db", random_options(random), random, model);
    workload.create();
    const auto note = [&](const std::string& what) { ++seen[what.substr(0, what.find_first_of(" :="))]; };
    for (int i = 0; i < 60; ++i) note(workload.step());
    for (int i = 0; i < 6; ++i) note(workload.step_while_alone());
    note(workload.lose_power());
    for (int i = 0; i < 6; ++i) note(workload.step());
    note(workload.replace_file());
    for (int i = 0; i < 6; ++i) note(workload.step());
    note(workload.delete_file());
    workload.reappear();
    for (int i = 0; i < 6; ++i) note(workload.step());
    workload.close_all();
    states += model.newest();
  }
  for (const char* what : {"write", "big",         "rollback", "savepoints", "schema",  "VACUUM",   "PRAGMA",
                           "begin", "end",         "FULL",     "PASSIVE",    "RESTART", "TRUNCATE", "a",
                           "all",   "application", "page",     "journal",    "WAL",     "power",    "file"}) {
    EXPECT_GT(seen[what], 0) << what;
  }
  EXPECT_GT(states, 200u);
}

}  // namespace
}  // namespace cairn::testing
