// The simulated disk itself: what it must keep it keeps under every seed, and what it may lose it does lose under some.
#include "support/crash_file_system.h"

#include <gtest/gtest.h>

#include <functional>
#include <set>

#include "base/bytes.h"
#include "support/scratch.h"

namespace cairn::testing {
namespace {

constexpr int kSeeds = 200;

// What one seed leaves of a tree: the contents of the file "f", and of "g"; "-" where there is none.
struct World {
  explicit World(std::uint64_t seed) : random(seed), fs(scratch.path(), life, random) {}

  std::string at(const std::string& name) const { return scratch / name; }
  void put(const std::string& name, std::string_view text, bool sync) {
    auto file = fs.open(at(name), OpenMode::write, 0600);
    ASSERT_TRUE(file) << file.error().message();
    ASSERT_TRUE((*file)->write_at(0, as_bytes(text)));
    if (sync) {
      ASSERT_TRUE((*file)->sync());
    }
  }
  void sync_names() { ASSERT_TRUE(fs.sync_directory(scratch.path())); }
  std::string text(const std::string& name) {
    auto bytes = read_file(fs, at(name));
    return bytes ? std::string(as_text(*bytes)) : "-";
  }

  Scratch scratch{"crashfs"};
  Life life;
  SeededRandom random;
  CrashFileSystem fs;
};

// The contents of `name` after `prepare` and a power loss, over many seeds.
std::set<std::string> outcomes(const std::string& name, const std::function<void(World&)>& prepare) {
  std::set<std::string> seen;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    World world(seed);
    prepare(world);
    world.fs.crash(CrashKind::power_loss);
    seen.insert(world.text(name));
  }
  return seen;
}

TEST(CrashFileSystem, KeepsWhatWasSynced) {
  const auto seen = outcomes("f", [](World& world) {
    world.put("f", "synced", true);
    world.sync_names();
  });
  EXPECT_EQ(seen, std::set<std::string>{"synced"});
}

TEST(CrashFileSystem, LosesANameWhoseFolderWasNotSynced) {
  const auto seen = outcomes("f", [](World& world) { world.put("f", "synced", true); });
  EXPECT_EQ(seen, (std::set<std::string>{"-", "synced"}));
}

TEST(CrashFileSystem, DropsCutsAndGarblesWhatWasNotSynced) {
  const std::string old(1000, 'o'), written(3000, 'w');
  const auto seen = outcomes("f", [&](World& world) {
    world.put("f", old, true);
    world.sync_names();
    world.put("f", written, false);
  });
  EXPECT_TRUE(seen.contains(old));
  EXPECT_TRUE(seen.contains(written));
  EXPECT_GT(seen.size(), 20u);
  for (const std::string& text : seen) EXPECT_TRUE(text.size() >= old.size() && text.size() <= written.size());
}

TEST(CrashFileSystem, CutsAnAppendedTail) {
  const auto seen = outcomes("f", [](World& world) {
    world.put("f", "base", true);
    world.sync_names();
    world.put("f", "base+tail", false);
  });
  EXPECT_TRUE(seen.contains("base"));
  EXPECT_TRUE(seen.contains("base+"));
  EXPECT_TRUE(seen.contains("base+tail"));
}

TEST(CrashFileSystem, UndoesARenameOrLeavesAnEmptyFileInItsPlace) {
  const auto seen = outcomes("f", [](World& world) {
    world.put("f", "old", true);
    world.sync_names();
    world.put("g", "new", false);  // never synced: the classic mistake
    ASSERT_TRUE(world.fs.rename(world.at("g"), world.at("f")));
  });
  EXPECT_TRUE(seen.contains("old"));
  EXPECT_TRUE(seen.contains(""));
  EXPECT_TRUE(seen.contains("new"));
}

TEST(CrashFileSystem, WritingDurablyLeavesTheOldOrTheNewFile) {
  const auto before = outcomes("f", [](World& world) {
    world.put("f", "old", true);
    world.sync_names();
    world.life.end_after(world.random.below(6));
    (void)write_file_durably(world.fs, world.at("f"), as_bytes("new"));
    world.life.begin_anew();
  });
  EXPECT_EQ(before, (std::set<std::string>{"new", "old"}));
  const auto after = outcomes("f", [](World& world) {
    world.put("f", "old", true);
    ASSERT_TRUE(write_file_durably(world.fs, world.at("f"), as_bytes("new")));
  });
  EXPECT_EQ(after, std::set<std::string>{"new"});
}

TEST(CrashFileSystem, BringsARemovedFileBack) {
  const auto seen = outcomes("f", [](World& world) {
    world.put("f", "there", true);
    world.sync_names();
    ASSERT_TRUE(world.fs.remove(world.at("f")));
  });
  EXPECT_EQ(seen, (std::set<std::string>{"-", "there"}));
}

TEST(CrashFileSystem, MixesOldAndNewPagesOfAMappedFile) {
  const auto seen = outcomes("f", [](World& world) {
    world.put("f", std::string(3 * 4096, 'o'), true);
    world.sync_names();
    auto mapped = world.fs.map(world.at("f"), 3 * 4096);
    ASSERT_TRUE(mapped);
    std::ranges::fill((*mapped)->bytes(), std::byte{'n'});
  });
  const bool mixed = std::any_of(seen.begin(), seen.end(), [](const std::string& text) {
    return text.find('o') != std::string::npos && text.find('n') != std::string::npos;
  });
  EXPECT_TRUE(mixed);
}

TEST(CrashFileSystem, AFailedSyncIsNotMadeGoodByALaterOne) {
  const auto seen = outcomes("f", [](World& world) {
    world.put("f", "", true);
    world.sync_names();
    auto file = world.fs.open(world.at("f"), OpenMode::write, 0600);
    ASSERT_TRUE((*file)->write_at(0, as_bytes("lost?")));
    world.fs.set_faults({.full = 0, .failing = 10000});
    for (int i = 0; i < 20; ++i) ASSERT_FALSE((*file)->sync());
    world.fs.set_faults({});
    ASSERT_TRUE((*file)->sync());
  });
  EXPECT_TRUE(seen.contains(std::string(5, '\0')));
}

TEST(CrashFileSystem, WhatIsWrittenAgainAfterAFailedSyncIsMadeDurable) {
  const auto seen = outcomes("f", [](World& world) {
    world.put("f", "", true);
    world.sync_names();
    auto file = world.fs.open(world.at("f"), OpenMode::write, 0600);
    ASSERT_TRUE((*file)->write_at(0, as_bytes("lost")));
    world.fs.set_faults({.full = 0, .failing = 10000});
    for (int i = 0; i < 20; ++i) ASSERT_FALSE((*file)->sync());
    world.fs.set_faults({});
    ASSERT_TRUE((*file)->write_at(0, as_bytes("kept")));
    ASSERT_TRUE((*file)->sync());
  });
  EXPECT_EQ(seen, std::set<std::string>{"kept"});
}

TEST(CrashFileSystem, AKillLosesNothingButMakesNothingDurable) {
  std::set<std::string> seen;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    World world(seed);
    world.put("f", "cached", false);
    world.fs.crash(CrashKind::kill);
    EXPECT_EQ(world.text("f"), "cached");
    world.fs.crash(CrashKind::power_loss);
    seen.insert(world.text("f"));
  }
  EXPECT_TRUE(seen.contains("-"));
  EXPECT_TRUE(seen.contains("cached"));
}

TEST(CrashFileSystem, TheDeadChangeNothing) {
  World world(1);
  world.put("f", "before", true);
  world.life.end_now();
  EXPECT_FALSE(world.fs.remove(world.at("f")));
  EXPECT_FALSE(world.fs.rename(world.at("f"), world.at("g")));
  EXPECT_FALSE(world.fs.open(world.at("h"), OpenMode::write, 0600));
  EXPECT_FALSE(world.fs.open(world.at("f"), OpenMode::read, 0600));
  world.life.begin_anew();
  EXPECT_EQ(world.text("f"), "before");
  EXPECT_EQ(world.text("h"), "-");
}

TEST(CrashFileSystem, AFullDiskWritesAPartAndSaysSo) {
  World world(3);
  auto file = world.fs.open(world.at("f"), OpenMode::write, 0600);
  ASSERT_TRUE(file);
  world.fs.set_faults({.full = 10000, .failing = 0});
  const auto written = (*file)->write_at(0, as_bytes("abc"));
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().kind(), ErrorKind::io);
  EXPECT_NE(written.error().message().find("full"), std::string::npos);
  EXPECT_GE(world.fs.faults_injected(), 1u);
}

}  // namespace
}  // namespace cairn::testing
