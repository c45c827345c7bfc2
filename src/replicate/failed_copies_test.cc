// Copies that fail, or whose process dies among them: the snapshot is whole all the same.
#include <gtest/gtest.h>

#include "replicate/test_snapshot_copies.h"
#include "store/around.h"

namespace cairn {
namespace {

using replicator_test::kSentPart;
using replicator_test::SnapshotCopiesTest;

class FailedCopies : public SnapshotCopiesTest {};

class CopyFails : public SnapshotCopiesTest, public ::testing::WithParamInterface<ErrorKind> {};

TEST_P(CopyFails, AndAllOfItIsSentInTheSameUpload) {
  begin();
  must("UPDATE t SET v=randomblob(3800) WHERE id=1500");
  rules_.before = [](const StoreCall& call) -> Result<void> {
    if (call.operation == Operation::copy_part) return Error(GetParam(), "it copies nothing");
    return {};
  };
  snapshot();
  EXPECT_EQ(copies(), 1u) << "once";
  EXPECT_EQ(rules_.count(Operation::begin_upload), 1u);
  EXPECT_EQ(rules_.part_bytes, newest_bytes());
  EXPECT_EQ(status().snapshot_copied_bytes, 0u);
  EXPECT_NE(status().copy_trouble.find("it copies nothing"), std::string::npos) << status().copy_trouble;
  EXPECT_EQ(status().store_trouble, "");
  // Another day it may.
  rules_.before = {};
  snapshot();
  EXPECT_GE(copies(), 1u);
  EXPECT_EQ(status().copy_trouble, "");
}
INSTANTIATE_TEST_SUITE_P(Kinds, CopyFails,
                         ::testing::Values(ErrorKind::unsupported, ErrorKind::invalid, ErrorKind::denied,
                                           ErrorKind::corrupt, ErrorKind::io),
                         [](const auto& kind) { return std::string(name_of(kind.param)); });

TEST_F(FailedCopies, WhatFailsForAWhileIsTriedAgain) {
  begin();
  must("UPDATE t SET v=randomblob(3800) WHERE id=1500");
  int left = 3;
  rules_.before = [&](const StoreCall& call) -> Result<void> {
    if (call.operation == Operation::copy_part && left-- > 0) return Error(ErrorKind::retry_later, "503");
    return {};
  };
  snapshot();
  EXPECT_GE(copies(), 5u);
  EXPECT_GT(status().snapshot_copied_bytes, newest_bytes() / 2);
}

TEST_F(FailedCopies, WhatAlwaysFailsIsSent) {
  begin();
  must("UPDATE t SET v=randomblob(3800) WHERE id=1500");
  rules_.before = [&](const StoreCall& call) -> Result<void> {
    if (call.operation == Operation::copy_part) return Error(ErrorKind::maybe_done, "no answer");
    return {};
  };
  snapshot();
  EXPECT_EQ(copies(), 4u);
  EXPECT_EQ(status().snapshot_copied_bytes, 0u);
}

// As Cloudflare R2 wants it: it copies, and then does not make the object.
TEST_F(FailedCopies, AStoreThatWantsEqualPartsIsAskedOnce) {
  rules_.wants_equal_parts = true;
  begin();
  must("UPDATE t SET v=randomblob(3800) WHERE id=1500");
  snapshot();
  EXPECT_GE(copies(), 1u);
  EXPECT_NE(status().copy_trouble, "");
  EXPECT_TRUE(record().copies_refused);
  stop();
  open();
  must_settle();
  snapshot();
  EXPECT_EQ(copies(), 0u);
}

TEST_F(FailedCopies, ASourceThatIsRemovedBetweenTwoCopiesIsSent) {
  begin();
  for (const bool leaves_out : {true, false}) {
    must("UPDATE t SET v=randomblob(3800) WHERE id=1500");
    rules_.leaves_out_parts = leaves_out;
    before_call(Operation::copy_part, 2, [this] { return store_->remove(keys().back()); });
    rules_.reset();
    now_.wall_ms += 5'000;
    replicator_->request_snapshot();
    must_settle();
    expect_good();
    rules_.before = {};
    EXPECT_NE(status().copy_trouble, "");
    EXPECT_EQ(rules_.count(Operation::begin_upload), 1u) << "what was copied before stays, and the rest is sent";
    EXPECT_LT(rules_.part_bytes, newest_bytes());
    snapshot();  // whole: copies have failed
    snapshot();
    EXPECT_GE(copies(), 1u);
  }
}

TEST_F(FailedCopies, ASourceThatIsReplacedWhileItIsCopiedIsNotBelieved) {
  begin();
  const Bytes other(store_->get(keys().back())->bytes.size(), std::byte{7});
  for (const bool leaves_out : {true, false}) {
    must("UPDATE t SET v=randomblob(3800) WHERE id=1500");  // another state than that of the source, which is lost
    rules_.leaves_out_parts = leaves_out;
    const std::string source = keys().back();
    before_call(Operation::copy_part, 1, [&]() -> Result<void> {
      replace(source, other);
      return {};
    });
    snapshot();
    EXPECT_NE(status().copy_trouble.find(source), std::string::npos) << status().copy_trouble;
    rules_.before = {};
    snapshot();
  }
}

// Copies all of the source, whatever it is asked for.
class CopiesTooMuch final : public StoreAround<CopiesTooMuch> {
 public:
  explicit CopiesTooMuch(Store& inner) : inner_(inner) {}
  Store& inner() const { return inner_; }
  template <class Call>
  auto around(const StoreCall&, const Call& call) -> decltype(call()) {
    return call();
  }
  Result<PartInfo> copy_part(std::string_view key, std::string_view upload_id, int number,
                             std::string_view source_key, std::uint64_t, std::uint64_t length) override {
    auto part = inner_.copy_part(key, upload_id, number, source_key, 0, inner_.head(source_key)->size_bytes);
    if (part) part->size_bytes = length;
    return part;
  }

 private:
  Store& inner_;
};

// What it made of the parts is looked at before anybody can see the object.
TEST_F(FailedCopies, AStoreThatCopiesAnotherRangeIsFoundOut) {
  begin();
  must("UPDATE t SET v=randomblob(3800) WHERE id=1500");
  stop();
  CopiesTooMuch liar(rules_);
  ReplicatorOptions o = options();
  o.part_bytes = kSentPart;
  auto opened = Replicator::open(liar, *files_, executor_, random_, o);
  ASSERT_TRUE(opened);
  replicator_ = std::move(*opened);
  must_settle();
  snapshot();
  EXPECT_NE(status().copy_trouble, "");
  EXPECT_TRUE(record().copies_refused);
  stop();
}

// What is sent between two copies is made smaller than the store takes: by a level that was raised.
TEST_F(FailedCopies, WhatHasBecomeTooSmallForAPartIsSentWithAllTheRest) {
  // Eight letters in random order: level 1 leaves three eighths of their bytes, and one that looks at less all of them.
  std::string letters = "hex(v)";
  for (int i = 0; i < 8; ++i) letters = fmt::format("replace({}, '{:X}', '{}')", letters, i + 8, i);
  must(fmt::format("UPDATE t SET v=substr({}, 1, 3800)", letters));
  rules_.min_part_bytes = 640 << 10;  // four blocks as they are, and a half more, are five that are made anew
  open(-50);
  must_settle();
  stop();
  must("UPDATE t SET v=substr(v, 2) || '0' WHERE id=1000");
  open(1);
  must_settle();
  snapshot();
  EXPECT_NE(status().copy_trouble.find("smaller"), std::string::npos) << status().copy_trouble;
  EXPECT_EQ(status().snapshot_copied_bytes, 0u);
}

// A process that is killed: at which call, and whether that has its effect.
struct CopyMoment {
  const char* name;
  Operation operation;
  int nth;
  bool has_effect;
};

class KilledWhileItCopies : public SnapshotCopiesTest, public ::testing::WithParamInterface<CopyMoment> {};

TEST_P(KilledWhileItCopies, TheNextOneEndsWithTheSameObject) {
  begin();
  must("UPDATE t SET v=randomblob(3800) WHERE id IN (700, 1400)");
  must_settle();
  bool is_dead = false;
  const Error dead(ErrorKind::retry_later, "the process is dead");
  auto is_now = [&, count = 0](const StoreCall& call) mutable {
    return call.operation == GetParam().operation && ++count == GetParam().nth;
  };
  rules_.before = [&](const StoreCall& call) -> Result<void> {
    if (!is_dead && !GetParam().has_effect) is_dead = is_now(call);
    return is_dead ? Result<void>(dead) : Result<void>();
  };
  rules_.after = [&](const StoreCall& call) -> Result<void> {
    if (!is_dead && GetParam().has_effect) is_dead = is_now(call);
    return is_dead ? Result<void>(dead) : Result<void>();
  };
  rules_.reset();
  now_.wall_ms += 5'000;
  replicator_->request_snapshot();
  for (int i = 0; i < 4000 && !is_dead; ++i) ASSERT_FALSE(turn());
  ASSERT_TRUE(is_dead) << "the test has not come to its moment";
  stop(StopMode::crash);
  rules_.before = rules_.after = {};
  now_.wall_ms += 100'000;
  open();
  must_settle();
  if (keys().size() < 2) {  // nobody remembers that it was asked for: nothing was begun
    ASSERT_EQ(GetParam().operation, Operation::begin_upload);
    replicator_->request_snapshot();
    must_settle();
  }
  EXPECT_EQ(keys().size(), 2u);
  EXPECT_EQ(rules_.count(Operation::complete_new), GetParam().operation == Operation::complete_new ? 2u : 1u);
  EXPECT_LT(rules_.part_bytes, newest_bytes()) << "what was copied was not sent";
  expect_good();
}
INSTANTIATE_TEST_SUITE_P(
    Moments, KilledWhileItCopies,
    ::testing::Values(CopyMoment{"BeforeTheUploadIsBegun", Operation::begin_upload, 1, false},
                      CopyMoment{"WithAnUploadThatNobodyNoted", Operation::begin_upload, 1, true},
                      CopyMoment{"BeforeTheFirstCopy", Operation::copy_part, 1, false},
                      CopyMoment{"BehindTheFirstCopy", Operation::copy_part, 1, true},
                      CopyMoment{"BehindTheSecondCopy", Operation::copy_part, 2, true},
                      CopyMoment{"BeforeTheSourceIsLookedAtAgain", Operation::head, 2, false},
                      CopyMoment{"WithACopyThatIsNoted", Operation::head, 3, false},
                      CopyMoment{"BeforeTheFirstPart", Operation::put_part, 1, false},
                      CopyMoment{"BehindTheFirstPart", Operation::put_part, 1, true},
                      CopyMoment{"BehindTheLastPart", Operation::list_parts, 1, false},
                      CopyMoment{"BeforeTheObjectIsMade", Operation::complete_new, 1, false}),
    [](const auto& moment) { return std::string(moment.param.name); });

// Nobody heard that the object is there. The next one sees it.
TEST_F(FailedCopies, AnObjectThatWasMadeWhenTheProcessDiedIsFound) {
  begin();
  must("UPDATE t SET v=randomblob(3800) WHERE id=1500");
  bool is_dead = false;
  rules_.after = [&](const StoreCall& call) -> Result<void> {
    is_dead = is_dead || call.operation == Operation::complete_new;
    return is_dead ? Result<void>(Error(ErrorKind::retry_later, "the process is dead")) : Result<void>();
  };
  rules_.before = [&](const StoreCall&) { return is_dead ? Result<void>(Error(ErrorKind::retry_later, "dead"))
                                                         : Result<void>(); };
  replicator_->request_snapshot();
  now_.wall_ms += 5'000;
  for (int i = 0; i < 4000 && !is_dead; ++i) ASSERT_FALSE(turn());
  ASSERT_TRUE(is_dead);
  stop(StopMode::crash);
  rules_.before = rules_.after = {};
  rules_.reset();
  open();
  must_settle();
  EXPECT_EQ(rules_.count(Operation::begin_upload), 0u);
  EXPECT_EQ(keys().size(), 2u);
  expect_good();
}

// Journalled: what has arrived before is not asked for again.
TEST_F(FailedCopies, AProcessThatIsKilledBehindItsCopiesIsGoneOnWith) {
  begin();
  must("UPDATE t SET v=randomblob(3800) WHERE id=1500");
  must_settle();
  rules_.reset();
  now_.wall_ms += 5'000;
  replicator_->request_snapshot();
  for (int i = 0; i < 4000 && rules_.count(Operation::put_part) < 2; ++i) ASSERT_FALSE(turn());
  const std::uint64_t copied = copies();
  ASSERT_GE(copied, 2u);
  stop(StopMode::crash);
  now_.wall_ms += 100'000;
  open();
  must_settle();
  EXPECT_EQ(copies(), copied);
  EXPECT_EQ(rules_.count(Operation::begin_upload), 1u);
  EXPECT_LE(rules_.count(Operation::put_part), 5u);
  expect_good();
}

TEST_F(FailedCopies, AfterAKillASourceThatIsGoneIsSentIntoTheSameKey) {
  begin();
  must("UPDATE t SET v=randomblob(3800) WHERE id=1500");
  must_settle();
  for (const bool leaves_out : {true, false}) {
    rules_.leaves_out_parts = leaves_out;
    rules_.reset();
    now_.wall_ms += 5'000;
    replicator_->request_snapshot();
    for (int i = 0; i < 4000 && rules_.count(Operation::put_part) < 1; ++i) ASSERT_FALSE(turn());
    ASSERT_GE(copies(), 1u);
    stop(StopMode::crash);
    ASSERT_TRUE(store_->remove(keys().back()));
    open();
    must_settle();
    expect_good();
    snapshot();
  }
}

}  // namespace
}  // namespace cairn
