// What is given up stays given up. A history that begins anew takes the numbers and the lineage of one that had been
// captured and never published: a segment of that which came back would be merged into the other, and take its place.
#include "replicate/spool.h"

#include <gtest/gtest.h>

#include <array>

#include "base/bytes.h"
#include "replicate/kept.h"
#include "segment/reader.h"
#include "store/memory_store.h"
#include "support/crash_file_system.h"
#include "support/replica_builder.h"
#include "support/scratch.h"

namespace cairn::replicate {
namespace {

using testing::CrashKind;
using testing::Image;

constexpr std::uint64_t kSeeds = 100;

// A state directory with four captured segments, 1 to 4, all synced.
class Captured {
 public:
  explicit Captured(std::uint64_t seed) : random_(seed) {
    builder_.begin(image_);
    options.state_directory = scratch_.path();
    for (std::uint32_t i = 1; i <= 4; ++i) {
      image_.change(i, seed);
      builder_.add(image_);
    }
    open();
    for (Sequence at(1); at <= Sequence(4); at = at.next()) put(at);
    EXPECT_TRUE(spool->make_durable());
  }

  // As the next process finds it.
  void open() {
    spool.reset();
    kept = std::make_unique<Kept>(files, options);
    EXPECT_TRUE(kept->open());
    auto opened = Spool::open(files, scratch_ / "spool", builder_.lineage(), Sequence(0), *kept, nullptr);
    ASSERT_TRUE(opened) << opened.error().message();
    spool = std::move(*opened);
  }
  void lose_power() {
    spool.reset();
    files.crash(CrashKind::power_loss);
    open();
  }
  segment::Footer footer(Sequence at) {
    return (*segment::ObjectReader::open(*store_, builder_.segment_key(at)))->footer();
  }
  std::vector<Sequence> kept_sequences(Sequence published) {
    std::vector<Sequence> found;
    const auto loaded = kept->load(builder_.lineage(), published);
    EXPECT_TRUE(loaded) << loaded.error().message();
    for (const KeptObject& object : *loaded) found.push_back(object.last);
    for (const KeptObject& object : kept->taken()) found.push_back(object.last);
    return found;
  }

 private:
  testing::Scratch scratch_{"spool"};
  std::unique_ptr<Store> store_ = make_memory_store();
  testing::ReplicaBuilder builder_{*store_, "replica"};
  Image image_ = Image::made(4096, 4, 0);
  testing::Life life_;
  SeededRandom random_;

  void put(Sequence at) {
    const Bytes bytes = testing::get_object(*store_, builder_.segment_key(at));
    auto file = spool->begin();
    ASSERT_TRUE(file) << file.error().message();
    ASSERT_TRUE((*file)->write_at(0, bytes));
    const BytesSource source(bytes);
    const auto reader = segment::ObjectReader::open(source, "segment");
    ASSERT_TRUE(reader) << reader.error().message();
    ASSERT_TRUE(spool->add((*reader)->footer(), {bytes.size(), *hash_of_file(source), nullptr}));
  }

 public:
  testing::CrashFileSystem files{scratch_.path(), life_, random_};
  ReplicatorOptions options;
  std::unique_ptr<Kept> kept;
  std::unique_ptr<Spool> spool;
};

TEST(Spool, WhatIsClearedDoesNotComeBackWithAPowerLoss) {
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    Captured captured(seed);
    ASSERT_EQ(captured.spool->count(), 4u);
    ASSERT_TRUE(captured.spool->clear());
    captured.lose_power();
    ASSERT_EQ(captured.spool->count(), 0u) << "seed " << seed;
  }
}

// Not even when the sync behind the removals failed, and was tried again.
TEST(Spool, ItIsClearedOnlyOnceThatIsSynced) {
  std::uint64_t failed = 0;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    Captured captured(seed);
    captured.files.set_faults({.full = 0, .failing = 2500});
    for (Result<void> cleared = Error(ErrorKind::io, "not yet"); !cleared; ++failed) cleared = captured.spool->clear();
    captured.files.set_faults({});
    captured.lose_power();
    ASSERT_EQ(captured.spool->count(), 0u) << "seed " << seed;
  }
  EXPECT_GT(failed, kSeeds);
}

TEST(Spool, OfWhatWasPublishedOnlyTheNewestIsKeptForMerging) {
  Captured captured(1);
  const segment::Footer published = captured.footer(Sequence(3));
  captured.spool->pop_published(Sequence(3), &published);
  EXPECT_EQ(captured.spool->count(), 1u);
  EXPECT_EQ(captured.kept_sequences(Sequence(4)), std::vector{Sequence(3)});
}

// Another of that number, or by another way to the same state, or of another time; and where it was not asked for.
TEST(Spool, WhatIsNotTheVeryOneThatWasPublishedIsNotKept) {
  using Change = void (*)(segment::Footer&);
  constexpr std::array<Change, 4> kChanges{[](segment::Footer& f) { ++f.points.back().hash_after; },
                                           [](segment::Footer& f) { ++f.hash_before; },
                                           [](segment::Footer& f) { ++f.last_time_ms; },
                                           [](segment::Footer& f) { f.kind = segment::ObjectKind::bundle; }};
  for (const Change change : kChanges) {
    Captured captured(1);
    segment::Footer published = captured.footer(Sequence(3));
    change(published);
    captured.spool->pop_published(Sequence(3), &published);
    EXPECT_EQ(captured.spool->count(), 1u);
    EXPECT_TRUE(captured.kept_sequences(Sequence(4)).empty());
  }
  Captured captured(1);
  captured.spool->pop_published(Sequence(3), nullptr);
  EXPECT_EQ(captured.spool->count(), 1u);
  EXPECT_TRUE(captured.kept_sequences(Sequence(4)).empty());
}

// What lies behind a torn one goes, for good.
TEST(Spool, WhatIsLeftOutAtAStartDoesNotComeBackWithAPowerLoss) {
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    Captured captured(seed);
    {
      const auto torn = captured.files.open(captured.spool->all()[1].path, OpenMode::write, 0600);
      ASSERT_TRUE(torn);
      ASSERT_TRUE((*torn)->truncate(100));
      ASSERT_TRUE((*torn)->sync());
    }
    captured.open();
    ASSERT_EQ(captured.spool->count(), 1u);
    captured.lose_power();
    ASSERT_EQ(captured.spool->count(), 1u) << "seed " << seed;
  }
}

TEST(Kept, WhatIsToBeRemovedIsForgottenWithItsHistoryOnly) {
  Captured captured(1);
  const std::string path = captured.kept->removals_path();
  ASSERT_TRUE(write_file(captured.files, path, as_bytes("one")));
  ASSERT_TRUE(captured.kept->begin_anew(Sequence(3), Kept::History::same));
  EXPECT_TRUE(captured.files.info(path));
  ASSERT_TRUE(captured.kept->begin_anew(Sequence(3), Kept::History::another));
  EXPECT_FALSE(captured.files.info(path));
}

// Nor when it was left with other levels, or with none.
TEST(Kept, NothingOfAHistoryThatWasLeftComesBackWithAPowerLoss) {
  const std::vector<std::int64_t> windows_ms = ReplicatorOptions().level_windows_ms;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    Captured captured(seed);
    while (captured.spool->count() > 0) captured.spool->pop({});
    ASSERT_TRUE(captured.files.sync_directory(captured.options.state_directory + "/kept/0"));
    if (seed % 2 == 0) captured.options.level_windows_ms.clear();
    captured.open();
    ASSERT_TRUE(captured.kept->begin_anew(Sequence(3), Kept::History::another));
    captured.options.level_windows_ms = windows_ms;
    captured.lose_power();
    ASSERT_TRUE(captured.kept_sequences(Sequence(4)).empty()) << "seed " << seed;
    ASSERT_EQ(captured.kept->fence(), Sequence(3));
  }
}

}  // namespace
}  // namespace cairn::replicate
