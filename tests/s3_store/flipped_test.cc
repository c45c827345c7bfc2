// Bits that are flipped on their way, over plain http: what finds them, and what does not. docs/stores.md says the same
// in words.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/executor.h"
#include "base/files.h"
#include "cairn/restore.h"
#include "s3_store/twin_store.h"
#include "support/replica_builder.h"
#include "support/scratch.h"

namespace cairn::s3 {
namespace {

using testing::Image;
using testing::ReplicaBuilder;
using testing::Scratch;
using twin::Fault;
using twin::Operation;


TwinStoreOptions over(twin::Tls tls) { return small_parts("aws", tls); }

// Other bytes at each reading: what was signed is not what is sent.
class Garbled final : public Source {
 public:
  std::uint64_t size_bytes() const override { return 100; }
  Result<void> read_at(std::uint64_t, std::span<std::byte> into) const override {
    std::fill(into.begin(), into.end(), static_cast<std::byte>(readings_++));
    return {};
  }

 private:
  mutable std::atomic<unsigned char> readings_ = 0;
};

TEST(FlippedBits, OfABodyThatIsSentAreRefusedByTheStore) {
  TwinStore on(over(twin::Tls::off));
  EXPECT_EQ(on.store->put_new("k", Garbled()).error().kind(), ErrorKind::retry_later);
  const auto id = on.store->begin_upload("k");
  ASSERT_TRUE(id);
  EXPECT_EQ(on.store->put_part("k", *id, 1, Garbled()).error().kind(), ErrorKind::retry_later);
  EXPECT_TRUE(on.store->list_parts("k", *id)->empty());
  EXPECT_GT(on.twin.counts().error("XAmzContentSHA256Mismatch"), 1u);
  EXPECT_EQ(on.twin.keys_of("bucket"), std::vector<std::string>{".cairn-probe"});
}

// Each object that was put in one request has the sum of its bytes with it: who asks for all of it gets what is right.
TEST(FlippedBits, OfAWholeObjectAreFoundAndReadAgain) {
  for (const twin::Tls tls : {twin::Tls::off, twin::Tls::good}) {
    TwinStore on(over(tls));
    const std::string text(1000, 'x');
    ASSERT_TRUE(on.store->put_new("k", BytesSource(as_bytes(text))));
    const auto is_whole = [&](const Result<Object>& object) {
      return object.has_value() && as_text(object->bytes) == text;
    };
    on.twin.fail_next(Operation::get_object, Fault::flipped, 2);
    EXPECT_TRUE(is_whole(on.store->get("k")));
    on.twin.fail_next(Operation::get_object, Fault::flipped, 2);
    EXPECT_TRUE(is_whole(on.store->get("k", 0, 1 << 20)));
    EXPECT_EQ(on.twin.counts().of(Fault::flipped), 4u);
    on.twin.fail_next(Operation::get_object, Fault::flipped, 10);
    const auto never = on.store->get("k");
    ASSERT_FALSE(never);
    EXPECT_EQ(never.error().kind(), ErrorKind::corrupt);
  }
}

// There is no checksum of every range. Who reads them has to have checksums of its own, as Cairn's objects do.
TEST(FlippedBits, OfARangeComeThrough) {
  TwinStore on(over(twin::Tls::off));
  const std::string text(1000, 'x');
  ASSERT_TRUE(on.store->put_new("k", BytesSource(as_bytes(text))));
  on.twin.fail_next(Operation::get_object, Fault::flipped, 2);
  EXPECT_FALSE(as_text(on.store->get("k", 0, 1000)->bytes) == text);
  EXPECT_FALSE(as_text(on.store->get_suffix("k", 500)->bytes) == text.substr(500));
}

class FlippedInARestore : public ::testing::Test {
 protected:
  FlippedInARestore() {
    Image image = Image::made(4096, 600, 1);
    replica_.begin(image);
    states_.push_back(image.bytes());
    for (std::uint32_t n = 1; n <= 5; ++n) {
      for (std::uint32_t page = n; page < 600; page += 40) image.change(page, n);
      replica_.add(image);
      states_.push_back(image.bytes());
    }
  }

  Result<RestoreResult> restore() {
    RestoreOptions options;
    options.overwrite = Overwrite::replace;
    return run_restore(*on_.store, "app", out_, options, *files_, executor_);
  }
  bool is_exact() { return *read_file(*files_, out_) == states_.back(); }

  Scratch scratch_{"flipped"};
  const std::string out_ = scratch_ / "restored.db";
  TwinStore on_{over(twin::Tls::off)};
  ReplicaBuilder replica_{*on_.store, "app"};
  std::vector<Bytes> states_;  // all that were published
  std::unique_ptr<FileSystem> files_ = make_real_file_system();
  InlineExecutor executor_;
};

TEST_F(FlippedInARestore, IsFoundAndReadAgainWhicheverGetItIs) {
  on_.twin.reset_counts();
  ASSERT_TRUE(restore());
  ASSERT_TRUE(is_exact());
  const std::uint64_t gets = on_.twin.counts().requests[Operation::get_object];
  ASSERT_GT(gets, 6u);
  for (int skip = 0; skip < static_cast<int>(gets); ++skip) {
    on_.twin.reset_counts();
    on_.twin.fail_next(Operation::get_object, Fault::flipped, 1, skip);
    const auto restored = restore();
    ASSERT_TRUE(restored) << skip << ": " << restored.error().message();
    EXPECT_TRUE(is_exact()) << skip;
    EXPECT_EQ(on_.twin.counts().of(Fault::flipped), 1u);
  }
}

TEST_F(FlippedInARestore, GivesTheExactDatabaseOrNoneAtEveryRate) {
  std::uint64_t flipped = 0;
  for (const int per_mille : {10, 100, 300}) {
    for (std::uint64_t seed = 1; seed <= 10; ++seed) {
      twin::FaultPlan plan;
      plan.seed = seed;
      plan.per_mille = per_mille;
      plan.faults = {Fault::flipped};
      on_.twin.set_faults(plan);
      const auto restored = restore();
      if (restored) EXPECT_TRUE(is_exact()) << per_mille << " " << seed;
      else EXPECT_EQ(restored.error().kind(), ErrorKind::corrupt) << restored.error().message();
    }
    flipped = on_.twin.counts().of(Fault::flipped);
  }
  EXPECT_GT(flipped, 30u);
}

// Nothing tells a name that came garbled from a true one. What is restored then may be an earlier state, and no other.
TEST_F(FlippedInARestore, OfAListGivesAStateThatWasPublishedOrNone) {
  constexpr int kTries = 40;
  on_.twin.reset_counts();
  ASSERT_TRUE(restore());
  const int lists = static_cast<int>(on_.twin.counts().requests[Operation::list_objects]);
  ASSERT_GT(lists, 0);
  int newest = 0, earlier = 0, refused = 0;
  for (int one = 0; one < kTries * lists; ++one) {
    on_.twin.reset_counts();
    on_.twin.fail_next(Operation::list_objects, Fault::flipped_document, 1, one % lists);
    const auto restored = restore();
    ASSERT_EQ(on_.twin.counts().of(Fault::flipped_document), 1u);
    if (!restored) {
      ++refused;
      continue;
    }
    const auto state = std::ranges::find(states_, *read_file(*files_, out_));
    ASSERT_TRUE(state != states_.end()) << one;
    ++(state + 1 == states_.end() ? newest : earlier);
  }
  EXPECT_GT(newest, kTries * lists / 2) << earlier << " earlier ones, " << refused << " refused";
}

}  // namespace
}  // namespace cairn::s3
