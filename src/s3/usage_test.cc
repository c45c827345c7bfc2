#include "s3/usage.h"

#include <gtest/gtest.h>

#include "base/bytes.h"

namespace cairn::s3 {
namespace {

// Answers everything with one status.
class OneAnswer final : public HttpClient {
 public:
  explicit OneAnswer(int status) : status_(status) {}
  Result<HttpResponse> send(const HttpRequest& request) override {
    if (status_ == 0) return Error(ErrorKind::maybe_done, "no answer");
    HttpResponse response;
    response.status = status_;
    response.body.resize(15);
    if (request.take != nullptr) {
      (void)(*request.take)(response, response.body);
      response.body.clear();
    }
    return response;
  }

 private:
  int status_;
};

void send(UsageCounter& counter, const std::string& method, const std::string& target, std::string_view body = "") {
  HttpRequest request;
  request.method = method;
  request.target = target;
  const BytesSource source(as_bytes(body));
  if (!body.empty()) request.body = &source;
  (void)counter.send(request);
}

TEST(UsageCounter, RequestsAreCountedByWhatTheyCost) {
  UsageCounter counter(std::make_unique<OneAnswer>(200));
  send(counter, "PUT", "/b/key?x=list-type", "12345");
  send(counter, "PUT", "/b/key?partNumber=1&uploadId=x", "123");
  send(counter, "POST", "/b/key?uploads=");
  send(counter, "POST", "/b/key?uploadId=x", "<xml/>");
  send(counter, "GET", "/b/?list-type=2&prefix=a");
  send(counter, "GET", "/b/?uploads");
  send(counter, "GET", "/b/key?uploadId=x");
  send(counter, "GET", "/b/list-type");
  send(counter, "HEAD", "/b/uploads");
  send(counter, "DELETE", "/b/key");
  send(counter, "DELETE", "/b/key?uploadId=x");
  send(counter, "POST", "/b/?delete=");
  const StoreUsage usage = counter.usage();
  EXPECT_EQ(usage.writes, 4u);
  EXPECT_EQ(usage.lists, 3u);
  EXPECT_EQ(usage.reads, 2u);
  EXPECT_EQ(usage.deletes, 3u);
  EXPECT_EQ(usage.unanswered, 0u);
  EXPECT_EQ(usage.sent_bytes, 14u);
  EXPECT_EQ(usage.received_bytes, 12u * 15);
}

TEST(UsageCounter, WhatIsTakenAsItComesCountsToo) {
  UsageCounter counter(std::make_unique<OneAnswer>(206));
  std::size_t taken = 0;
  const TakeBody take = [&](const HttpResponse&, ByteView piece) {
    taken += piece.size();
    return true;
  };
  HttpRequest request;
  request.take = &take;
  ASSERT_TRUE(counter.send(request));
  EXPECT_EQ(taken, 15u);
  EXPECT_EQ(counter.usage().received_bytes, 15u);
}

TEST(UsageCounter, WhatNobodyBillsIsCountedApart) {
  UsageCounter away(std::make_unique<OneAnswer>(0)), slow(std::make_unique<OneAnswer>(503));
  send(away, "PUT", "/b/key", "12345");
  send(slow, "PUT", "/b/key", "12345");
  for (const UsageCounter* counter : {&away, &slow}) {
    EXPECT_EQ(counter->usage().unanswered, 1u);
    EXPECT_EQ(counter->usage().writes, 0u);
    EXPECT_EQ(counter->usage().sent_bytes, 0u);
  }
  UsageCounter missing(std::make_unique<OneAnswer>(404));
  send(missing, "GET", "/b/key");
  EXPECT_EQ(missing.usage().reads, 1u) << "an answer that nothing is there costs the same";
}

}  // namespace
}  // namespace cairn::s3
