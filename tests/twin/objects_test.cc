// Whole objects: conditions, ranges, metadata, checksums, listings, buckets.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <latch>
#include <thread>

#include <fmt/format.h>

#include "base/bytes.h"
#include "support/scratch.h"
#include "twin/client.h"
#include "twin/digests.h"
#include "twin/text.h"
#include "twin/twin.h"

namespace cairn::twin {
namespace {

using ::testing::ElementsAre;

std::string checksum_text(Algorithm algorithm, std::string_view body) {
  return base64(checksum(algorithm, as_bytes(body)));
}
std::vector<Header> with_checksum(Algorithm algorithm, std::string_view body) {
  return {{"x-amz-sdk-checksum-algorithm", std::string(name_of(algorithm))},
          {std::string(header_of(algorithm)), checksum_text(algorithm, body)}};
}

class Objects : public ::testing::Test {
 protected:
  explicit Objects(TwinOptions options = {}) : twin_(std::move(options)) {}
  void SetUp() override {
    ASSERT_TRUE(twin_.start());
    client_ = std::make_unique<Client>(twin_);
  }
  Client& client() { return *client_; }
  void use_dialect(std::string_view name) { twin_.set_dialect(dialect_named(name).value()); }
  // All keys of a listing, page by page.
  std::vector<std::string> listed(const std::string& query) {
    std::vector<std::string> keys;
    std::string token;
    do {
      const Reply reply = client().list(query + (token.empty() ? "" : "&continuation-token=" + percent_encode(token)));
      EXPECT_EQ(reply.status, 200) << reply.body;
      for (std::size_t at = 0; (at = reply.body.find("<Key>", at)) != std::string::npos; ++at) {
        keys.push_back(reply.body.substr(at + 5, reply.body.find("</Key>", at) - at - 5));
      }
      token = reply.element("NextContinuationToken");
      EXPECT_EQ(reply.element("IsTruncated"), token.empty() ? "false" : "true");
    } while (!token.empty());
    return keys;
  }

  Twin twin_;
  std::unique_ptr<Client> client_;
};

TEST_F(Objects, WhatIsPutComesBack) {
  const Reply put = client().put("a/b", "hello", {{"x-amz-meta-token", "t 1"}, {"content-type", "text/plain"}});
  EXPECT_EQ(put.status, 200);
  EXPECT_EQ(put.header("etag"), "\"5d41402abc4b2a76b9719d911017c592\"");
  const Reply got = client().get("a/b");
  EXPECT_EQ(got.status, 200);
  EXPECT_EQ(got.body, "hello");
  EXPECT_EQ(got.header("etag"), put.header("etag"));
  EXPECT_EQ(got.header("x-amz-meta-token"), "t 1");
  EXPECT_EQ(got.header("content-type"), "text/plain");
  EXPECT_FALSE(got.header("date").empty());
  EXPECT_FALSE(got.header("x-amz-request-id").empty());
  const Reply head = client().head("a/b");
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.header("content-length"), "5");
  EXPECT_EQ(head.body, "");
  EXPECT_EQ(head.header("last-modified"), got.header("last-modified"));
}

TEST_F(Objects, WhatIsNotThereIs404AndRemovingItIsFine) {
  EXPECT_EQ(client().get("no").code(), "NoSuchKey");
  EXPECT_EQ(client().head("no").status, 404);
  EXPECT_EQ(client().remove("no").status, 204);
  client().put("k", "v");
  EXPECT_EQ(client().remove("k").status, 204);
  EXPECT_EQ(client().get("k").status, 404);
  EXPECT_EQ(client().send({.target = "/elsewhere/k"}).code(), "NoSuchBucket");
}

TEST_F(Objects, KeysAreBytesAndNothingIsNormalised) {
  const std::vector<std::string> keys{"a/../c",     "a//b",    "/lead", "./x",          "with space",
                                      "plus+plus",  "per%cent", "equal=s", "q?m&a",     "ünïcode/日本",
                                      "semi;colon", "star*(paren)'!", "til~de", "a\\b", "c:d@e,f$"};
  for (const std::string& key : keys) EXPECT_EQ(client().put(key, key).status, 200) << key;
  for (const std::string& key : keys) EXPECT_EQ(client().get(key).body, key);
  EXPECT_EQ(twin_.keys_of("bucket").size(), keys.size());
}

TEST_F(Objects, Ranges) {
  client().put("k", "0123456789");
  client().put("empty", "");
  const auto range = [&](const std::string& text, const std::string& key = "k") {
    const Reply reply = client().get(key, {{"range", text}});
    return fmt::format("{} {} {}", reply.status, reply.header("content-range"), reply.is_error() ? "" : reply.body);
  };
  EXPECT_EQ(range("bytes=2-4"), "206 bytes 2-4/10 234");
  EXPECT_EQ(range("bytes=7-"), "206 bytes 7-9/10 789");
  EXPECT_EQ(range("bytes=7-99"), "206 bytes 7-9/10 789");
  EXPECT_EQ(range("bytes=-3"), "206 bytes 7-9/10 789");
  EXPECT_EQ(range("bytes=-30"), "206 bytes 0-9/10 0123456789");
  EXPECT_EQ(range("bytes=10-"), "416 bytes */10 ");
  EXPECT_EQ(range("bytes=-0"), "416 bytes */10 ");
  EXPECT_EQ(range("bytes=0-0", "empty"), "416 bytes */0 ");
  EXPECT_EQ(range("bytes=-1", "empty"), "416 bytes */0 ");
  for (const char* const bad : {"bytes=4-2", "bytes=a-b", "2-4", "bytes=-", "bytes=1-2,4-5"}) {
    EXPECT_EQ(client().get("k", {{"range", bad}}).code(), "InvalidArgument") << bad;
  }
  EXPECT_EQ(client().get("k", {{"range", "bytes=10-"}}).element("ActualObjectSize"), "10");
}

TEST_F(Objects, ConditionsOfReads) {
  const std::string etag = client().put("k", "v").header("etag");
  EXPECT_EQ(client().get("k", {{"if-match", etag}}).status, 200);
  EXPECT_EQ(client().get("k", {{"if-match", "\"other\""}}).code(), "PreconditionFailed");
  EXPECT_EQ(client().get("k", {{"if-none-match", etag}}).status, 304);
  EXPECT_EQ(client().get("k", {{"if-none-match", "\"other\""}}).status, 200);
}

TEST_F(Objects, CreateOnlyPutsAreRefusedWhenTheKeyExists) {
  EXPECT_EQ(client().put("k", "one", {{"if-none-match", "*"}}).status, 200);
  const Reply second = client().put("k", "two", {{"if-none-match", "*"}});
  EXPECT_EQ(second.status, 412);
  EXPECT_EQ(second.code(), "PreconditionFailed");
  EXPECT_EQ(second.element("Condition"), "If-None-Match");
  EXPECT_EQ(twin_.text_of("bucket", "k"), "one");
  EXPECT_EQ(client().put("k", "three", {{"if-none-match", "\"etag\""}}).status, 501);
}

TEST_F(Objects, PutsIfMatchReplaceOnlyThatObject) {
  const std::string etag = client().put("k", "one").header("etag");
  EXPECT_EQ(client().put("k", "two", {{"if-match", etag}}).status, 200);
  EXPECT_EQ(client().put("k", "three", {{"if-match", etag}}).status, 412);
  EXPECT_EQ(client().put("no", "four", {{"if-match", etag}}).code(), "NoSuchKey");
  EXPECT_EQ(twin_.text_of("bucket", "k"), "two");
  EXPECT_EQ(client().remove("k", {{"if-match", etag}}).status, 412);
  EXPECT_TRUE(twin_.text_of("bucket", "k"));
}

TEST_F(Objects, Ceph16WantsEtagsWithoutQuotesAndIgnoresConditionsOfDeletes) {
  use_dialect("ceph16");
  const std::string etag = client().put("k", "one").header("etag");
  EXPECT_EQ(client().put("k", "two", {{"if-match", etag}}).status, 412);
  EXPECT_EQ(client().put("k", "two", {{"if-match", etag.substr(1, etag.size() - 2)}}).status, 200);
  EXPECT_EQ(client().remove("k", {{"if-match", "other"}}).status, 204);
}

TEST_F(Objects, OtherDialectsRefuseOrIgnoreConditions) {
  client().put("k", "one");
  for (const char* const name : {"swift230", "b2"}) {
    use_dialect(name);
    EXPECT_EQ(client().put("k", "two", {{"if-none-match", "*"}}).status, 501);
    EXPECT_EQ(client().put("k", "two", {{"if-match", "\"x\""}}).status, 501);
  }
  use_dialect("nothing");
  EXPECT_EQ(twin_.text_of("bucket", "k"), "one");
  EXPECT_EQ(client().put("k", "two", {{"if-none-match", "*"}}).status, 200);
  EXPECT_EQ(twin_.text_of("bucket", "k"), "two");
}

// Of many that create one key at once, one wins; the others are told so, as the dialect tells it.
class Races : public Objects, public ::testing::WithParamInterface<std::pair<const char*, int>> {};

TEST_P(Races, OneWins) {
  use_dialect(GetParam().first);
  constexpr int kThreads = 8;
  for (int round = 0; round < 10; ++round) {
    std::latch start(kThreads);
    std::vector<int> statuses(kThreads);
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&, i] {
        Client mine(twin_);
        start.arrive_and_wait();
        statuses[static_cast<std::size_t>(i)] =
            mine.put(fmt::format("k{}", round), std::to_string(i), {{"if-none-match", "*"}}).status;
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(std::count(statuses.begin(), statuses.end(), 200), 1);
    const std::string body = twin_.text_of("bucket", fmt::format("k{}", round)).value_or("?");
    EXPECT_EQ(statuses[static_cast<std::size_t>(std::stoi(body))], 200);
    for (const int status : statuses) {
      EXPECT_TRUE(status == 200 || status == 412 || status == GetParam().second) << status;
    }
  }
}
INSTANTIATE_TEST_SUITE_P(Dialects, Races,
                         ::testing::Values(std::pair{"aws", 409}, std::pair{"ceph16", 500}, std::pair{"r2", 412}),
                         [](const auto& param) { return std::string(param.param.first); });

// A put whose body comes after another one's whole request: it had passed the check, or is a loser.
TEST_F(Objects, WhoComesFirstAndEndsLastIsALoserOrOneOfTwoWinners) {
  for (const auto& [dialect, status, text] :
       {std::tuple{"aws", 409, "fast"}, {"ceph16", 500, "fast"}, {"swift238", 200, "slow"}}) {
    use_dialect(dialect);
    client().remove("k");
    const std::string body = "slow";
    Client slow(twin_);
    Call call{.method = "PUT", .target = "/bucket/k", .headers = {{"if-none-match", "*"}, {"expect", "100-continue"}},
              .body = body};
    call.unsigned_headers = {"expect"};
    const std::string whole = slow.text_of(call);
    ASSERT_EQ(slow.send_raw(whole.substr(0, whole.size() - body.size()), "HEAD").status, 100);
    EXPECT_EQ(client().put("k", "fast", {{"if-none-match", "*"}}).status, 200);
    EXPECT_EQ(slow.send_raw(body, "PUT").status, status) << dialect;
    EXPECT_EQ(twin_.text_of("bucket", "k"), text);
  }
}

TEST_F(Objects, ChecksumsAreVerifiedAndEchoedWhenTheyAreMeant) {
  for (const Algorithm algorithm : kAlgorithms) {
    const std::string header(header_of(algorithm));
    const Reply put = client().put("k", "hello", with_checksum(algorithm, "hello"));
    EXPECT_EQ(put.status, 200) << header;
    EXPECT_EQ(put.header(header), checksum_text(algorithm, "hello"));
    EXPECT_EQ(put.header("x-amz-checksum-type"), "FULL_OBJECT");
    EXPECT_EQ(client().get("k", {{"x-amz-checksum-mode", "ENABLED"}}).header(header), put.header(header));
    EXPECT_EQ(client().get("k").header(header), "");
    EXPECT_EQ(client().put("k", "hello", with_checksum(algorithm, "other")).code(), "BadDigest");
    // Without the algorithm's name nobody looks.
    const Reply ignored = client().put("k", "hello", {{header, checksum_text(algorithm, "other")}});
    EXPECT_EQ(ignored.status, 200);
    EXPECT_EQ(ignored.header(header), "");
  }
  EXPECT_EQ(client().put("k", "v", {{"x-amz-sdk-checksum-algorithm", "CRC32"}}).code(), "InvalidRequest");
  const std::vector<Header> short_one{{"x-amz-sdk-checksum-algorithm", "CRC32"}, {"x-amz-checksum-crc32", "AAA="}};
  EXPECT_EQ(client().put("k", "v", short_one).code(), "InvalidRequest");
}

TEST_F(Objects, DialectsIgnoreChecksumsThatTheyDoNotKnow) {
  for (const Algorithm algorithm : {Algorithm::crc64nvme, Algorithm::crc32c}) {
    use_dialect("ceph16");
    const Reply put = client().put("k", "hello", with_checksum(algorithm, "other"));
    EXPECT_EQ(put.status, 200);
    EXPECT_EQ(put.header(header_of(algorithm)), "");
  }
  Dialect older;
  older.crc64nvme = false;
  twin_.set_dialect(older);
  EXPECT_EQ(client().put("k", "hello", with_checksum(Algorithm::crc64nvme, "other")).status, 200);
  EXPECT_EQ(client().put("k", "hello", with_checksum(Algorithm::crc32c, "other")).status, 400);
}

TEST_F(Objects, ContentMd5) {
  const std::string good = base64(md5(as_bytes("v")));
  EXPECT_EQ(client().put("k", "v", {{"content-md5", good}}).status, 200);
  EXPECT_EQ(client().put("k", "w", {{"content-md5", good}}).code(), "BadDigest");
  EXPECT_EQ(client().put("k", "v", {{"content-md5", "x"}}).code(), "InvalidDigest");
}

TEST_F(Objects, StorageClassEncryptionAndTags) {
  EXPECT_EQ(client().put("k", "v", {{"x-amz-storage-class", "STANDARD_IA"}, {"x-amz-tagging", "a=b&c=d%20e"}}).status,
            200);
  EXPECT_EQ(client().head("k").header("x-amz-storage-class"), "STANDARD_IA");
  EXPECT_EQ(client().head("k").header("x-amz-tagging-count"), "2");
  EXPECT_EQ(client().put("k", "v", {{"x-amz-storage-class", "CHEAP"}}).code(), "InvalidStorageClass");
  EXPECT_EQ(client().put("k", "v", {{"x-amz-tagging", "a=b&a=c"}}).code(), "InvalidArgument");
  EXPECT_EQ(client().put("k", "v", {{"x-amz-server-side-encryption", "AES256"}}).header("x-amz-server-side-encryption"),
            "AES256");
  const std::string id = "x-amz-server-side-encryption-aws-kms-key-id";
  const Reply kms = client().put("k", "v", {{"x-amz-server-side-encryption", "aws:kms"}, {id, "my-key"}});
  EXPECT_EQ(kms.header(id), "my-key");
  EXPECT_EQ(client().put("k", "v", {{id, "my-key"}}).code(), "InvalidArgument");
  EXPECT_EQ(client().put("k", "v", {{"x-amz-server-side-encryption", "rot13"}}).code(), "InvalidArgument");
  EXPECT_EQ(client().put("k", "v", {{"x-amz-meta-a", std::string(3000, 'x')}}).code(), "MetadataTooLarge");
}

TEST_F(Objects, ACustomersKeyIsNeededForWhateverItEncrypted) {
  const auto key = [](const std::string& bytes) {
    const std::string start = "x-amz-server-side-encryption-customer-";
    return std::vector<Header>{{start + "algorithm", "AES256"},
                               {start + "key", base64(bytes)},
                               {start + "key-md5", base64(md5(as_bytes(bytes)))}};
  };
  const std::string mine(32, 'm');
  EXPECT_EQ(client().put("k", "v", key(mine)).status, 200);
  EXPECT_EQ(client().get("k", key(mine)).body, "v");
  EXPECT_EQ(client().get("k").code(), "InvalidRequest");
  EXPECT_EQ(client().get("k", key(std::string(32, 'n'))).code(), "AccessDenied");
  EXPECT_EQ(client().put("k", "v", key("short")).code(), "InvalidArgument");
  const auto copy = [&](const std::string& id, bool with_source_key) {
    Call call{.method = "PUT", .target = "/bucket/copy?partNumber=1&uploadId=" + percent_encode(id)};
    call.headers = key(mine);
    call.headers.push_back({"x-amz-copy-source", "/bucket/k"});
    if (with_source_key) {
      for (const Header& header : key(mine)) {
        call.headers.push_back({"x-amz-copy-source-" + header.name.substr(6), header.value});
      }
    }
    return client().send(call);
  };
  const std::string upload = client().begin("copy", key(mine));
  EXPECT_EQ(copy(upload, false).code(), "InvalidRequest");
  EXPECT_EQ(copy(upload, true).status, 200);
  EXPECT_EQ(client().put_part("copy", upload, 2, "p").code(), "InvalidRequest");
  EXPECT_EQ(client().put_part("copy", upload, 2, "p", key(mine)).status, 200);
  client().put("plain", "v");
  EXPECT_EQ(client().get("plain", key(mine)).code(), "InvalidRequest");
}

TEST_F(Objects, ListingsAreInByteOrderAndPaged) {
  for (const char* const key : {"b", "a/2", "a/1", "a/10", "B", "a", "ä", "a b", "a+b"}) client().put(key, key);
  const std::vector<std::string> all{"B", "a", "a b", "a+b", "a/1", "a/10", "a/2", "b", "ä"};
  EXPECT_EQ(listed(""), all);
  EXPECT_EQ(listed("max-keys=2"), all);
  EXPECT_EQ(listed("max-keys=1"), all);
  EXPECT_THAT(listed("prefix=a%2F"), ElementsAre("a/1", "a/10", "a/2"));
  EXPECT_THAT(listed("prefix=a%2F&start-after=a%2F1&max-keys=1"), ElementsAre("a/10", "a/2"));
  EXPECT_THAT(listed("start-after=a%2F2"), ElementsAre("b", "ä"));
  EXPECT_THAT(listed("encoding-type=url&prefix=a%20"), ElementsAre("a+b"));
  EXPECT_THAT(listed("encoding-type=url&prefix=a%2B"), ElementsAre("a%2Bb"));
  use_dialect("ceph20");
  EXPECT_THAT(listed("encoding-type=url&prefix=a%20"), ElementsAre("a%20b"));
  EXPECT_EQ(client().list("continuation-token=nonsense").code(), "InvalidArgument");
  EXPECT_EQ(client().list("max-keys=many").code(), "InvalidArgument");
  EXPECT_EQ(client().list("max-keys=0").element("KeyCount"), "0");
}

TEST_F(Objects, ListingsByDelimiter) {
  for (const char* const key : {"a", "d/1", "d/2", "e/1", "f"}) client().put(key, "");
  const Reply reply = client().list("delimiter=%2F");
  EXPECT_EQ(reply.element("KeyCount"), "4");
  EXPECT_EQ(reply.count("<CommonPrefixes>"), 2u);
  const Reply first = client().list("delimiter=%2F&max-keys=2");
  EXPECT_EQ(first.count("<Key>"), 1u);
  EXPECT_EQ(first.count("<CommonPrefixes><Prefix>d/"), 1u);
  const Reply second =
      client().list("delimiter=%2F&continuation-token=" + percent_encode(first.element("NextContinuationToken")));
  EXPECT_EQ(second.count("<CommonPrefixes><Prefix>e/"), 1u);
  EXPECT_EQ(second.count("<CommonPrefixes>"), 1u);
}

TEST_F(Objects, ListingsTellWhatHeadsTell) {
  const std::string etag = client().put("k", "hello").header("etag");
  const Reply reply = client().list("");
  EXPECT_EQ(reply.element("Size"), "5");
  EXPECT_EQ(reply.element("ETag"), "&quot;" + etag.substr(1, etag.size() - 2) + "&quot;");
  EXPECT_TRUE(reply.element("LastModified").ends_with(".000Z"));
}

TEST_F(Objects, ManyAreRemovedAtOnce) {
  for (const char* const key : {"a", "b & c", " d "}) client().put(key, "");
  Call call{.method = "POST", .target = "/bucket?delete"};
  call.body = "<Delete><Object><Key>a</Key></Object><Object><Key>b &amp; c</Key></Object>"
              "<Object><Key>no</Key></Object><Object><Key> d </Key></Object></Delete>";
  EXPECT_EQ(client().send(call).code(), "InvalidRequest");  // without a checksum of the body
  call.headers = with_checksum(Algorithm::crc32c, call.body);
  EXPECT_EQ(client().send(call).count("<Deleted>"), 4u);
  EXPECT_THAT(twin_.keys_of("bucket"), ElementsAre());
  use_dialect("swift230");
  EXPECT_EQ(client().send(call).code(), "InvalidRequest");
  call.headers = {{"content-md5", base64(md5(as_bytes(call.body)))}};
  EXPECT_EQ(client().send(call).status, 200);
  call.body = "<Delete>";
  call.headers = {{"content-md5", base64(md5(as_bytes(call.body)))}};
  EXPECT_EQ(client().send(call).code(), "MalformedXML");
}

TEST_F(Objects, Buckets) {
  EXPECT_EQ(client().send({.method = "HEAD", .target = "/bucket"}).status, 200);
  EXPECT_EQ(client().send({.method = "HEAD", .target = "/other"}).status, 404);
  EXPECT_EQ(client().send({.method = "PUT", .target = "/other"}).status, 200);
  EXPECT_EQ(client().send({.method = "HEAD", .target = "/other"}).header("x-amz-bucket-region"), "us-east-1");
  EXPECT_EQ(client().send({.method = "PUT", .target = "/other"}).code(), "BucketAlreadyOwnedByYou");
  EXPECT_EQ(client().send({.method = "PUT", .target = "/No_Name"}).code(), "InvalidBucketName");
  EXPECT_EQ(client().send({.target = "/bucket?location"}).status, 200);
}

TEST(Buckets, OutsideTheFirstRegionThePlaceMustBeNamed) {
  TwinOptions options;
  options.region = "eu-central-1";
  Twin twin(options);
  ASSERT_TRUE(twin.start());
  Client client(twin);
  Call call{.method = "PUT", .target = "/other"};
  call.region = "eu-central-1";
  EXPECT_EQ(client.send(call).code(), "IllegalLocationConstraintException");
  call.body = "<CreateBucketConfiguration><LocationConstraint>eu-central-1</LocationConstraint>"
              "</CreateBucketConfiguration>";
  EXPECT_EQ(client.send(call).status, 200);
  Call where{.target = "/other?location"};
  where.region = "eu-central-1";
  EXPECT_NE(client.send(where).body.find(">eu-central-1</LocationConstraint>"), std::string::npos);
}

TEST(DroppedBodies, KeepTheirSizeAndAreNotLookedAt) {
  TwinOptions options;
  options.keep_bodies = false;
  Twin twin(options);
  ASSERT_TRUE(twin.start());
  Client client(twin);
  const std::string body(3'000'001, 'x');
  const auto wrong = with_checksum(Algorithm::crc64nvme, "something else");
  const Reply put = client.put("key", body, wrong);
  EXPECT_EQ(put.status, 200) << put.body;
  EXPECT_EQ(put.header(header_of(Algorithm::crc64nvme)), wrong.back().value);  // believed
  EXPECT_EQ(client.head("key").header("content-length"), std::to_string(body.size()));
  const Reply got = client.get("key", {{"range", "bytes=1048575-2097152"}});
  EXPECT_EQ(got.body.size(), 1'048'578u);
  EXPECT_NE(got.body.front(), 'x');
  // What is no object's is read as ever.
  EXPECT_EQ(client.complete("large", client.begin("large"), {{1, "none"}}).code(), "InvalidPart");
}

TEST(Buckets, WhoDoesNotPayIsDenied) {
  TwinOptions options;
  options.requester_pays = true;
  Twin twin(options);
  ASSERT_TRUE(twin.start());
  Client client(twin);
  EXPECT_EQ(client.put("k", "v").status, 403);
  EXPECT_EQ(client.put("k", "v", {{"x-amz-request-payer", "requester"}}).header("x-amz-request-charged"), "requester");
}

TEST_F(Objects, OperationsCanBeDenied) {
  twin_.set_denied({Operation::put_object});
  EXPECT_EQ(client().put("k", "v").code(), "AccessDenied");
  EXPECT_EQ(client().list("").status, 200);
  twin_.set_denied({});
  EXPECT_EQ(client().put("k", "v").status, 200);
}

TEST_F(Objects, RequestsAreCounted) {
  client().put("k", "hello");
  client().get("k");
  client().get("no");
  const Counts counts = twin_.counts();
  EXPECT_EQ(counts.requests[Operation::put_object], 1u);
  EXPECT_EQ(counts.requests[Operation::get_object], 2u);
  EXPECT_EQ(counts.all_requests(), 3u);
  EXPECT_EQ(counts.error("NoSuchKey"), 1u);
  EXPECT_EQ(counts.bytes_in, 5u);
  EXPECT_EQ(counts.connections, 1u);
  twin_.reset_counts();
  EXPECT_EQ(twin_.counts().all_requests(), 0u);
}

TEST(Restart, WhatIsStoredOutlivesTheTwin) {
  const testing::Scratch scratch("twin");
  TwinOptions options;
  options.directory = scratch.path();
  options.min_part_bytes = 1;
  std::string upload, etag;
  const std::string key = "k/\x01 \xC3\xA4";
  {
    Twin twin(options);
    ASSERT_TRUE(twin.start());
    Client client(twin);
    etag = client.put(key, "hello", {{"x-amz-meta-token", "t"}}).header("etag");
    client.put("gone", "v");
    client.remove("gone");
    upload = client.begin("big");
    client.put_part("big", upload, 1, "part one, ", with_checksum(Algorithm::crc64nvme, "part one, "));
  }
  Twin twin(options);
  ASSERT_TRUE(twin.start());
  Client client(twin);
  EXPECT_EQ(client.get(key).body, "hello");
  EXPECT_EQ(client.get(key).header("etag"), etag);
  EXPECT_EQ(client.get(key).header("x-amz-meta-token"), "t");
  EXPECT_EQ(client.get("gone").status, 404);
  const std::string second = client.put_part("big", upload, 2, "part two").header("etag");
  EXPECT_EQ(client.complete("big", upload, {{1, hex(md5(as_bytes("part one, ")))}, {2, second}}).status, 200);
  EXPECT_EQ(client.get("big").body, "part one, part two");
}

TEST(Restart, AChangeThatWasNotWrittenWholeHasNotHappened) {
  const testing::Scratch scratch("twin");
  TwinOptions options;
  options.directory = scratch.path();
  {
    Twin twin(options);
    ASSERT_TRUE(twin.start());
    Client client(twin);
    client.put("first", "one");
    client.put("second", "two");
  }
  const std::string journal = scratch / "journal";
  std::filesystem::resize_file(journal, std::filesystem::file_size(journal) - 1);
  for (const std::vector<std::string>& expected : {std::vector<std::string>{"first"}, {"first", "third"}}) {
    Twin twin(options);
    ASSERT_TRUE(twin.start());
    EXPECT_EQ(twin.keys_of("bucket"), expected);
    Client(twin).put("third", "three");
  }
}

TEST(Restart, TheTwinGoesAwayAndComesBackOnItsPort) {
  Twin twin;
  ASSERT_TRUE(twin.start());
  Client client(twin);
  client.put("k", "v");
  const int port = twin.port();
  twin.stop();
  EXPECT_EQ(client.get("k").status, 0);
  ASSERT_TRUE(twin.start());
  EXPECT_EQ(twin.port(), port);
  EXPECT_EQ(client.get("k").body, "v");
}

TEST_F(Objects, OfManySomeMayNotBeDeletedAndAreNamed) {
  for (const char* const key : {"a", "b", "c"}) client().put(key, key);
  twin_.set_undeletable({"b"});
  Call call{.method = "POST", .target = "/bucket?delete"};
  call.body = "<Delete><Quiet>true</Quiet><Object><Key>a</Key></Object><Object><Key>b</Key></Object>"
              "<Object><Key>c</Key></Object></Delete>";
  call.headers = {{"content-md5", base64(md5(as_bytes(call.body)))}};
  const Reply reply = client().send(call);
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.count("<Error><Key>b</Key><Code>AccessDenied</Code>"), 1u);
  EXPECT_EQ(reply.count("<Deleted>"), 0u) << "quiet";
  EXPECT_THAT(twin_.keys_of("bucket"), ElementsAre("b"));
  EXPECT_EQ(client().remove("b").code(), "AccessDenied");
  twin_.set_undeletable({});
  use_dialect("nothing");
  EXPECT_EQ(client().send(call).code(), "NotImplemented");
}

// Etags of what is encrypted with keys of KMS, or of the customer, are no MD5s.
TEST_F(Objects, EtagsTellNothingOfBytesThatOtherKeysEncrypt) {
  const std::string plain = client().put("plain", "v").header("etag");
  EXPECT_EQ(client().put("s3", "v", {{"x-amz-server-side-encryption", "AES256"}}).header("etag"), plain);
  const std::string kms = client().put("kms", "v", {{"x-amz-server-side-encryption", "aws:kms"}}).header("etag");
  EXPECT_EQ(kms.size(), plain.size());
  EXPECT_NE(kms, plain);
  const std::string id = client().begin("big", {{"x-amz-server-side-encryption", "aws:kms"}});
  const std::string part = client().put_part("big", id, 1, "v").header("etag");
  EXPECT_NE(part, plain);
  EXPECT_EQ(client().complete("big", id, {{1, part}}).status, 200);
}

}  // namespace
}  // namespace cairn::twin
