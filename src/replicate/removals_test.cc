// What waits to be removed outlives a process, however its file was left.
#include "replicate/removals.h"

#include <gtest/gtest.h>

#include <random>

#include "support/scratch.h"

namespace cairn::replicate {
namespace {

struct RemovalsTest : ::testing::Test {
  testing::Scratch scratch{"removals"};
  std::unique_ptr<FileSystem> files = make_real_file_system();
  const std::string path = scratch / "removals";

  static Removal removal(std::uint64_t first) {
    Removal one;
    one.level = 1;
    one.first = Sequence(first);
    one.last = Sequence(first + 9);
    one.size_bytes = 1000 + first;
    one.etag = "\"etag\\\xff\"";
    one.replaced = {{0, Sequence(first), Sequence(first + 9)}};
    return one;
  }
  // Each as its first sequence and how long it has waited.
  static std::string text_of(Removals& removals) {
    std::string text;
    while (const Removal* front = removals.front()) {
      EXPECT_EQ(front->size_bytes, 1000 + front->first.value);
      EXPECT_EQ(front->replaced, removal(front->first.value).replaced);
      text += std::to_string(front->first.value) + ":" + std::to_string(removals.waited_ms(*front)) + " ";
      removals.pop();
    }
    return text;
  }
  std::string left() {
    Removals removals(*files, path);
    removals.load();
    return text_of(removals);
  }
};

TEST_F(RemovalsTest, TheNextProcessFindsThemAndHowLongTheyHaveWaited) {
  {
    Removals removals(*files, path);
    removals.load();
    removals.add(removal(1));
    removals.wait(500);
    removals.add(removal(11));
    ASSERT_TRUE(removals.save());
    removals.wait(250);
    removals.pop();
    removals.add(removal(21));
    ASSERT_TRUE(removals.save());
    removals.wait(1'000'000);  // and then it was killed: that time does not count
  }
  EXPECT_EQ(left(), "11:250 21:0 ");
  Removals again(*files, path);
  again.load();
  again.wait(50);
  again.add(removal(11));  // it was put once more
  ASSERT_TRUE(again.save());
  EXPECT_EQ(left(), "21:50 11:0 ");
}

TEST_F(RemovalsTest, LogStaysInProportionToWhatWaits) {
  Removals removals(*files, path);
  removals.load();
  std::uint64_t most = 0;
  for (std::uint64_t i = 0; i < 3000; ++i) {
    removals.wait(10);
    removals.add(removal(1 + 10 * i));
    if (removals.count() > 20) removals.pop();
    ASSERT_TRUE(removals.save());
    most = std::max(most, files->info(path)->size_bytes);
  }
  EXPECT_LT(most, 200u * (3 * 20 + 120));
  const std::string expected = left();
  EXPECT_EQ(expected, text_of(removals));
}

// Torn anywhere: what is whole is believed, nothing has waited longer than it has, and what is written next is found.
TEST_F(RemovalsTest, TornAnywhereItGoesOn) {
  {
    Removals removals(*files, path);
    removals.load();
    for (std::uint64_t i = 0; i < 4; ++i) {
      removals.wait(100);
      removals.add(removal(1 + 10 * i));
      if (i == 2) removals.pop();
      ASSERT_TRUE(removals.save());
    }
  }
  const Bytes whole = *read_file(*files, path);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    ASSERT_TRUE((*files->open(path, OpenMode::write))->truncate(0));
    ASSERT_TRUE((*files->open(path, OpenMode::write))->write_at(0, ByteView(whole).first(size)));
    Removals removals(*files, path);
    removals.load();
    if (const Removal* front = removals.front()) {
      EXPECT_LE(removals.waited_ms(*front), 300);
    }
    const std::size_t before = removals.count();
    removals.add(removal(101));
    ASSERT_TRUE(removals.save());
    Removals next(*files, path);
    next.load();
    EXPECT_EQ(next.count(), before + 1);
  }
}

// The file was removed by another part (a history that begins anew), or is not what was written.
TEST_F(RemovalsTest, FileThatIsNotOursIsWrittenAnew) {
  Removals removals(*files, path);
  removals.load();
  removals.add(removal(1));
  ASSERT_TRUE(removals.save());
  ASSERT_TRUE(files->remove(path));
  removals.add(removal(11));
  ASSERT_TRUE(removals.save());
  EXPECT_EQ(left(), "1:0 11:0 ");
}

}  // namespace
}  // namespace cairn::replicate
