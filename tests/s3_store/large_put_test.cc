// Puts that go in parts, when one before them was killed: only what did not arrive is sent, and nothing stays behind.
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "base/bytes.h"
#include "s3_store/twin_store.h"

namespace cairn::s3 {
namespace {

using twin::Fault;
using twin::Operation;

constexpr std::size_t kParts = 6;

class InterruptedPut : public ::testing::Test {
 protected:
  void start(const std::string& dialect) {
    on_ = std::make_unique<TwinStore>(small_parts(dialect, twin::Tls::off));
    text_ = SeededRandom(1).bytes((kParts - 1) * kPart + 1000);
  }
  std::string part(std::size_t number) const { return text_.substr((number - 1) * kPart, kPart); }
  // What a process has done that is no more.
  void send_before(std::initializer_list<std::size_t> numbers) {
    const auto id = on_->store->begin_upload("k");
    ASSERT_TRUE(id);
    for (const std::size_t number : numbers) {
      ASSERT_TRUE(on_->store->put_part("k", *id, static_cast<int>(number), BytesSource(as_bytes(part(number)))));
    }
    on_->twin.reset_counts();
  }
  // By a process that knows nothing of the one before.
  Result<std::string> put_again(const std::string& text) {
    const TwinStoreOptions options = small_parts("aws", twin::Tls::off);
    auto later = std::make_unique<S3Store>(on_->requests->client().settings(),
                                           S3Parts{*on_->http, *on_->credentials, on_->clock, on_->random, nullptr});
    S3Store& requests = *later;
    auto repeating =
        make_retrying_store(std::move(later), options.retry, on_->clock, on_->retry_random, on_->sleeper);
    return make_large_object_store(nullptr, std::move(repeating), requests, options.large)
        ->put_new("k", BytesSource(as_bytes(text)));
  }
  void expect_there_and_nothing_else(const std::string& text) {
    EXPECT_TRUE(on_->twin.text_of("bucket", "k") == text);
    EXPECT_EQ(on_->twin.upload_count("bucket"), 0u);
  }
  std::uint64_t parts_sent() const { return on_->twin.counts().requests[Operation::upload_part]; }
  // One of them is the trial of what the store makes of conditions when an upload is completed.
  static constexpr std::uint64_t kTrial = 1;

  std::unique_ptr<TwinStore> on_;
  std::string text_;
};

TEST_F(InterruptedPut, OnlyThePartsThatDidNotArriveAreSent) {
  start("aws");
  send_before({1, 2, 5});
  ASSERT_TRUE(put_again(text_));
  EXPECT_EQ(parts_sent(), kTrial + kParts - 3);
  EXPECT_EQ(on_->twin.counts().requests[Operation::create_upload], kTrial);
  expect_there_and_nothing_else(text_);
}

TEST_F(InterruptedPut, PartsOfOtherBytesAreSentAnew) {
  start("aws");
  send_before({1, 2, 5});
  std::string other = text_;
  other[kPart + 5] ^= 1;  // in part 2
  ASSERT_TRUE(put_again(other));
  EXPECT_EQ(parts_sent(), kTrial + kParts - 2);
  expect_there_and_nothing_else(other);
}

TEST_F(InterruptedPut, WhereEtagsTellNothingAllIsSentAgain) {
  start("aws");
  twin::Dialect dialect;
  dialect.md5_etags = false;
  on_->twin.set_dialect(dialect);
  send_before({1, 2, 5});
  ASSERT_TRUE(put_again(text_));
  EXPECT_EQ(parts_sent(), kTrial + kParts);
  expect_there_and_nothing_else(text_);
}

TEST_F(InterruptedPut, AnUploadThatExpiredStartsOver) {
  start("aws");
  send_before({1, 2, 5});
  on_->twin.expire_uploads();
  ASSERT_TRUE(put_again(text_));
  EXPECT_EQ(parts_sent(), kTrial + kParts);
  expect_there_and_nothing_else(text_);
}

// Found, and gone when its parts are listed, sent, completed.
TEST_F(InterruptedPut, AnUploadThatExpiresMeanwhileStartsOver) {
  for (const Operation operation : {Operation::list_parts, Operation::upload_part, Operation::complete_upload}) {
    start("aws");
    send_before({1, 2, 5});
    const int trials = operation == Operation::list_parts ? 0 : static_cast<int>(kTrial);
    on_->twin.fail_next(operation, Fault::expired_upload, 1, trials);
    const auto put = put_again(text_);
    ASSERT_TRUE(put) << name_of(operation) << ": " << put.error().message();
    EXPECT_EQ(on_->twin.counts().of(operation, Fault::expired_upload), 1u) << name_of(operation);
    expect_there_and_nothing_else(text_);
  }
}

TEST_F(InterruptedPut, LeavesNoUploadWhereTheObjectExists) {
  start("aws");
  send_before({1, 2, 5});
  ASSERT_TRUE(on_->requests->put_new("k", BytesSource(as_bytes("another's"))));
  const auto put = put_again(text_);
  ASSERT_FALSE(put);
  EXPECT_EQ(put.error().kind(), ErrorKind::conflict);
  expect_there_and_nothing_else("another's");
}

// The store fails for longer than a call has patience for: the next one goes on.
TEST_F(InterruptedPut, WhatOneCallSentTheNextOneDoesNot) {
  start("aws");
  twin::FaultPlan plan;
  plan.per_mille = 1000;
  plan.faults = {Fault::error_before};
  plan.operations = {Operation::complete_upload};
  ASSERT_TRUE(on_->requests->ready_to_write());
  ASSERT_TRUE(on_->requests->learn_complete());
  on_->twin.set_faults(plan);
  on_->twin.reset_counts();
  const auto put = on_->store->put_new("k", BytesSource(as_bytes(text_)));
  ASSERT_FALSE(put);
  EXPECT_EQ(put.error().kind(), ErrorKind::retry_later) << put.error().message();
  EXPECT_EQ(parts_sent(), kParts);
  on_->twin.set_faults({});
  on_->twin.reset_counts();
  ASSERT_TRUE(put_again(text_));
  EXPECT_EQ(parts_sent(), kTrial);
  expect_there_and_nothing_else(text_);
}

}  // namespace
}  // namespace cairn::s3
