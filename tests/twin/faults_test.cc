// What goes wrong on demand: each fault as a client sees it, and whether the effect was there.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <set>
#include <thread>

#include <fmt/format.h>

#include "base/bytes.h"
#include "twin/client.h"
#include "twin/digests.h"
#include "twin/text.h"
#include "twin/twin.h"

namespace cairn::twin {
namespace {

using ::testing::ElementsAre;

class Faults : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(twin_.start());
    client_ = std::make_unique<Client>(twin_);
  }
  Client& client() { return *client_; }
  // A put that suffers; then whether the object is there.
  struct Outcome {
    Reply reply;
    bool is_there = false;
  };
  Outcome put_with(Fault fault, std::vector<Header> headers = {}) {
    client().remove("k");
    twin_.fail_next(Operation::put_object, fault);
    Outcome outcome{client().put("k", std::string(10'000, 'v'), std::move(headers))};
    outcome.is_there = twin_.text_of("bucket", "k").has_value();
    return outcome;
  }
  Reply get_with(Fault fault, std::size_t size_bytes = 1'000'000) {
    client().put("g", std::string(size_bytes, 'g'));
    twin_.fail_next(Operation::get_object, fault);
    return client().get("g");
  }
  // An upload of one part that suffers when it is completed.
  Reply complete_with(Fault fault, std::vector<Header> headers = {}) {
    client().remove("big");
    id_ = client().begin("big");
    etag_ = client().put_part("big", id_, 1, "1111").header("etag");
    twin_.fail_next(Operation::complete_upload, fault);
    return client().complete("big", id_, {{1, etag_}}, std::move(headers));
  }
  Reply complete_again() { return client().complete("big", id_, {{1, etag_}}); }
  bool is_complete() { return twin_.text_of("bucket", "big").has_value(); }

  Twin twin_;
  std::unique_ptr<Client> client_;
  std::string id_, etag_;
};

TEST_F(Faults, BeforeTheEffectThereIsAnErrorAndNothingElse) {
  struct Case {
    Fault fault;
    int status;
    const char* code;
  };
  for (const Case& c : {Case{Fault::error_before, 500, "InternalError"}, {Fault::slow_down, 503, "SlowDown"},
                        {Fault::slow_down_wait, 503, "SlowDown"}, {Fault::too_many, 429, "TooManyRequests"},
                        {Fault::request_timeout, 400, "RequestTimeout"}, {Fault::proxy_error, 502, ""},
                        {Fault::empty_error, 503, ""}, {Fault::clock_skew, 403, "RequestTimeTooSkewed"}}) {
    const Outcome outcome = put_with(c.fault);
    EXPECT_EQ(outcome.reply.status, c.status) << name_of(c.fault);
    EXPECT_EQ(outcome.reply.code(), c.code);
    EXPECT_FALSE(outcome.is_there) << name_of(c.fault);
    EXPECT_EQ(outcome.reply.header("retry-after"), c.fault == Fault::slow_down_wait ? "1" : "");
    EXPECT_EQ(twin_.counts().of(c.fault), 1u);
    EXPECT_EQ(client().put("k", "v").status, 200);
  }
}

TEST_F(Faults, AfterTheEffectTheAnswerIsAnErrorOrNone) {
  Outcome outcome = put_with(Fault::error_after);
  EXPECT_EQ(outcome.reply.status, 500);
  EXPECT_TRUE(outcome.is_there);
  outcome = put_with(Fault::reset_after);
  EXPECT_EQ(outcome.reply.status, 0);
  EXPECT_TRUE(outcome.reply.was_reset);
  EXPECT_TRUE(outcome.is_there);
}

TEST_F(Faults, AResetBeforeTheBodyOrInItHasNoEffect) {
  for (const Fault fault : {Fault::reset_before, Fault::reset_in_request}) {
    const Outcome outcome = put_with(fault);
    EXPECT_EQ(outcome.reply.status, 0) << name_of(fault);
    EXPECT_FALSE(outcome.is_there) << name_of(fault);
  }
}

TEST_F(Faults, AnErrorOfTheRequestIsNotMadeWorse) {
  twin_.fail_next(Operation::put_object, Fault::reset_after);
  EXPECT_EQ(Client(twin_, {.secret = "wrong"}).put("k", "v").code(), "SignatureDoesNotMatch");
}

TEST_F(Faults, AConflictThatNobodyCausedHasNoEffectAndTakesAnUploadWithIt) {
  const Outcome outcome = put_with(Fault::conflict, {{"if-none-match", "*"}});
  EXPECT_EQ(outcome.reply.code(), "ConditionalRequestConflict");
  EXPECT_FALSE(outcome.is_there);
  EXPECT_EQ(complete_with(Fault::conflict, {{"if-none-match", "*"}}).status, 409);
  EXPECT_FALSE(is_complete());
  EXPECT_EQ(complete_again().code(), "NoSuchUpload");
}

TEST_F(Faults, AnswersBreakOff) {
  Reply reply = get_with(Fault::truncated);
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.header("content-length"), "1000000");
  EXPECT_EQ(reply.body.size(), 500'000u);
  EXPECT_FALSE(reply.is_whole);
  EXPECT_FALSE(reply.was_reset);
  reply = get_with(Fault::reset_in_answer);
  EXPECT_FALSE(reply.is_whole);
  EXPECT_LT(reply.body.size(), 1'000'000u);
  reply = client().get("g");
  EXPECT_EQ(reply.body.size(), 1'000'000u);
}

TEST_F(Faults, AListingMayBreakOffToo) {
  client().put("k", "v");
  twin_.fail_next(Operation::list_objects, Fault::truncated);
  const Reply reply = client().list("");
  EXPECT_FALSE(reply.is_whole);
  EXPECT_FALSE(reply.body.empty());
}

TEST_F(Faults, ASlowBodyIsWholeInTheEnd) {
  for (const std::size_t size_bytes : {10u, 1'000'000u}) {
    const Reply reply = get_with(Fault::slow_body, size_bytes);
    EXPECT_TRUE(reply.is_whole);
    EXPECT_EQ(reply.body, std::string(size_bytes, 'g'));
  }
}

TEST_F(Faults, AStalledBodyDoesNotKeepTheTwinFromStopping) {
  client().put("g", std::string(1000, 'g'));
  twin_.fail_next(Operation::get_object, Fault::stall);
  std::thread reader([&] {
    const Reply reply = Client(twin_).get("g");
    EXPECT_FALSE(reply.is_whole);
  });
  while (twin_.counts().of(Fault::stall) == 0) std::this_thread::yield();
  twin_.stop();
  reader.join();
}

TEST_F(Faults, AFlippedBitIsOneBit) {
  const Reply reply = get_with(Fault::flipped, 1000);
  EXPECT_TRUE(reply.is_whole);
  EXPECT_EQ(reply.body.size(), 1000u);
  EXPECT_EQ(std::count(reply.body.begin(), reply.body.end(), 'g'), 999);
  EXPECT_EQ(client().get("g").body, std::string(1000, 'g'));
}

TEST_F(Faults, AWrongChecksumIsEchoed) {
  const std::string right = base64(checksum(Algorithm::crc64nvme, as_bytes(std::string(10'000, 'v'))));
  const std::vector<Header> headers{{"x-amz-sdk-checksum-algorithm", "CRC64NVME"},
                                    {"x-amz-checksum-crc64nvme", right}};
  const Outcome outcome = put_with(Fault::wrong_checksum, headers);
  EXPECT_EQ(outcome.reply.status, 200);
  EXPECT_NE(outcome.reply.header("x-amz-checksum-crc64nvme"), right);
  EXPECT_EQ(outcome.reply.header("x-amz-checksum-crc64nvme").size(), right.size());
}

TEST_F(Faults, AConnectionIsClosedWithoutAWord) {
  const Reply reply = get_with(Fault::silent_close, 1000);
  EXPECT_TRUE(reply.is_whole);
  EXPECT_EQ(reply.header("connection"), "");
  // The client finds out with its next request.
  EXPECT_EQ(client().get("g").status, 0);
  EXPECT_EQ(client().get("g").status, 200);
}

TEST_F(Faults, ABurstHitsTheNextRequestsToo) {
  twin_.fail_next(Operation::put_object, Fault::burst);
  EXPECT_EQ(client().put("k", "v").status, 503);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(client().get("k").status, 503);
  EXPECT_EQ(client().get("k").status, 404);
}

TEST_F(Faults, OneKeyAPage) {
  for (const char* const key : {"a", "b"}) client().put(key, "");
  twin_.fail_next(Operation::list_objects, Fault::one_key);
  const Reply reply = client().list("");
  EXPECT_EQ(reply.count("<Key>"), 1u);
  EXPECT_EQ(reply.element("IsTruncated"), "true");
  EXPECT_EQ(client().list("").count("<Key>"), 2u);
}

TEST_F(Faults, AStaleListMissesTheNewest) {
  for (const char* const key : {"e", "a", "d", "b", "c"}) client().put(key, "");
  twin_.fail_next(Operation::list_objects, Fault::stale_list);
  const Reply reply = client().list("");
  EXPECT_EQ(reply.count("<Key>"), 2u);
  EXPECT_EQ(reply.count("<Key>e</Key>"), 1u);
  EXPECT_EQ(reply.count("<Key>a</Key>"), 1u);
  EXPECT_EQ(client().list("").count("<Key>"), 5u);
}

TEST_F(Faults, AnUploadExpires) {
  const std::string id = client().begin("big");
  EXPECT_EQ(client().put_part("big", id, 1, "1111").status, 200);
  twin_.fail_next(Operation::upload_part, Fault::expired_upload);
  EXPECT_EQ(client().put_part("big", id, 2, "2222").code(), "NoSuchUpload");
  EXPECT_EQ(client().put_part("big", id, 1, "1111").code(), "NoSuchUpload");
}

TEST_F(Faults, ACompleteThatSaysTwoHundredAndMeansAnError) {
  Reply reply = complete_with(Fault::ok_then_error);
  EXPECT_EQ(reply.status, 200);
  EXPECT_TRUE(reply.is_whole);
  EXPECT_EQ(reply.header("content-length"), "");
  EXPECT_EQ(reply.code(), "InternalError");
  EXPECT_TRUE(reply.body.starts_with(std::string(kXmlDeclaration) + " \n")) << reply.body;
  EXPECT_FALSE(is_complete());
  EXPECT_EQ(complete_again().status, 200);
  reply = complete_with(Fault::ok_then_error_after);
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.code(), "InternalError");
  EXPECT_TRUE(is_complete());
}

TEST_F(Faults, ASlowCompleteSendsWhiteSpaceFirst) {
  const Reply reply = complete_with(Fault::slow_complete);
  EXPECT_EQ(reply.status, 200);
  EXPECT_TRUE(reply.body.starts_with(std::string(kXmlDeclaration) + " \n"));
  EXPECT_EQ(reply.element("Key"), "big");
  EXPECT_TRUE(is_complete());
}

TEST_F(Faults, ACompleteWhoseAnswerIsLostLeavesAnObjectAndNoUpload) {
  const Reply reply = complete_with(Fault::lost_complete);
  EXPECT_EQ(reply.status, 0);
  EXPECT_TRUE(is_complete());
  EXPECT_EQ(complete_again().code(), "NoSuchUpload");
}

TEST_F(Faults, OrderedOnesCanBeSkippedAndRepeated) {
  twin_.fail_next(Operation::head_object, Fault::error_before, 2, 1);
  std::vector<int> statuses;
  for (int i = 0; i < 5; ++i) statuses.push_back(client().head("no").status);
  EXPECT_THAT(statuses, ElementsAre(404, 500, 500, 404, 404));
}

TEST_F(Faults, LatencyIsAdded) {
  twin_.set_latency_ms(50);
  const auto start = std::chrono::steady_clock::now();
  client().get("k");
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(50));
}

// The statuses of 300 gets of different keys, twice each.
std::vector<int> statuses_of(std::uint64_t seed, int per_mille, const std::vector<int>& order) {
  TwinOptions options;
  options.faults.seed = seed;
  options.faults.per_mille = per_mille;
  options.faults.faults = {Fault::error_before, Fault::too_many};
  Twin twin(options);
  EXPECT_TRUE(twin.start());
  Client client(twin);
  std::map<int, int> statuses;
  for (const int i : order) statuses[i] = client.get(fmt::format("k{}", i)).status;
  std::vector<int> out;
  for (const auto& [i, status] : statuses) out.push_back(status);
  return out;
}

TEST(FaultPlans, ASeedReplaysWhateverTheOrder) {
  std::vector<int> forwards, backwards;
  for (int i = 0; i < 300; ++i) forwards.push_back(i);
  backwards.assign(forwards.rbegin(), forwards.rend());
  const std::vector<int> statuses = statuses_of(1, 300, forwards);
  EXPECT_EQ(statuses_of(1, 300, backwards), statuses);
  EXPECT_NE(statuses_of(2, 300, forwards), statuses);
  EXPECT_EQ((std::set<int>(statuses.begin(), statuses.end())), (std::set<int>{404, 429, 500}));
  const auto failed = 300 - std::count(statuses.begin(), statuses.end(), 404);
  EXPECT_GT(failed, 60);
  EXPECT_LT(failed, 120);
}

TEST(FaultPlans, ARepeatedRequestIsDrawnAnew) {
  TwinOptions options;
  options.faults.per_mille = 300;
  options.faults.faults = {Fault::error_before};
  Twin twin(options);
  ASSERT_TRUE(twin.start());
  Client client(twin);
  std::set<int> statuses;
  for (int i = 0; i < 100; ++i) statuses.insert(client.get("k").status);
  EXPECT_EQ(statuses, (std::set<int>{404, 500}));
}

TEST(FaultPlans, RatesOfNoneAndAllAndOneOperationOnly) {
  Twin twin;
  ASSERT_TRUE(twin.start());
  Client client(twin);
  FaultPlan plan;
  plan.faults = {Fault::error_before};
  plan.operations = {Operation::head_object};
  plan.per_mille = 1000;
  twin.set_faults(plan);
  EXPECT_EQ(client.put("k", "v").status, 200);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(client.head("k").status, 500);
  plan.per_mille = 0;
  twin.set_faults(plan);
  EXPECT_EQ(client.head("k").status, 200);
}

// Whatever is drawn: what the client was told is true, and what is there is whole.
class Storm : public ::testing::TestWithParam<int> {};

TEST_P(Storm, SuccessIsAlwaysTrue) {
  TwinOptions options;
  options.faults.per_mille = GetParam() * 10;
  options.faults.seed = 3;
  options.min_part_bytes = 1;
  Twin twin(options);
  ASSERT_TRUE(twin.start());
  Client client(twin);
  for (int i = 0; i < 60; ++i) {
    const std::string key = fmt::format("k{}", i), body = fmt::format("body of {}", i);
    const Reply put = client.put(key, body, {{"if-none-match", "*"}});
    const auto stored = twin.text_of("bucket", key);
    EXPECT_TRUE(stored == body || (!stored && put.status != 200)) << put.status;
    const Reply got = client.get(key);
    EXPECT_TRUE(got.status != 404 || !stored);
    EXPECT_TRUE(got.status != 200 || !got.is_whole || got.body.size() == body.size());
    client.list("prefix=" + key);
    const std::string big = "big" + key, id = client.begin(big);
    const std::string etag = client.put_part(big, id, 1, body).header("etag");
    const Reply done = client.complete(big, id, {{1, etag}});
    const bool is_done = done.status == 200 && done.is_whole && done.code().empty();
    EXPECT_TRUE(!is_done || twin.text_of("bucket", big) == body);
  }
  if (GetParam() > 0) {
    EXPECT_GT(twin.counts().all_faults(), 0u);
  } else {
    EXPECT_EQ(twin.counts().all_faults(), 0u);
    EXPECT_TRUE(twin.counts().errors.empty());
  }
}
INSTANTIATE_TEST_SUITE_P(Percent, Storm, ::testing::Values(0, 1, 10, 30, 100));

TEST(Names, OfFaultsOperationsAndDialects) {
  for (std::size_t i = 0; i < kFaultCount; ++i) {
    const auto fault = static_cast<Fault>(i);
    EXPECT_EQ(fault_named(name_of(fault)), fault);
  }
  for (std::size_t i = 0; i < kOperationCount; ++i) {
    const auto operation = static_cast<Operation>(i);
    EXPECT_EQ(operation_named(name_of(operation)), operation);
  }
  EXPECT_EQ(name_of(Fault::stale_list), "stale_list");
  EXPECT_EQ(name_of(Operation::unknown), "unknown");
  EXPECT_FALSE(fault_named("none"));
  EXPECT_EQ(dialect_named("minio")->name, "minio");
  EXPECT_FALSE(dialect_named("gcs"));
}

TEST_F(Faults, OfABatchOfDeletionsEveryOtherOneFails) {
  for (const char* const key : {"a", "b", "c"}) client().put(key, key);
  Call call{.method = "POST", .target = "/bucket?delete"};
  call.body = "<Delete><Object><Key>a</Key></Object><Object><Key>b</Key></Object>"
              "<Object><Key>c</Key></Object></Delete>";
  call.headers = {{"content-md5", base64(md5(as_bytes(call.body)))}};
  twin_.fail_next(Operation::delete_objects, Fault::some_stay);
  const Reply reply = client().send(call);
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.count("<Error>"), 2u);
  EXPECT_EQ(reply.count("<Deleted>"), 1u);
  EXPECT_EQ(twin_.keys_of("bucket"), (std::vector<std::string>{"a", "c"}));
}

}  // namespace
}  // namespace cairn::twin
