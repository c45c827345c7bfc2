// Reading, against answers of a script.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "s3/checksum.h"
#include "s3/scripted_store.h"

namespace cairn::s3 {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// get

TEST(Get, RangeIsNamedAndChecked) {
  ScriptedStore f;
  auto headers = object("e", "3");
  headers.emplace_back("content-range", "bytes 2-4/10");
  f.http.say(206, "cde", headers);
  const auto object_read = f.store.get("k", 2, 3);
  ASSERT_TRUE(object_read) << object_read.error().message();
  EXPECT_EQ(as_text(object_read->bytes), "cde");
  EXPECT_EQ(object_read->info.size_bytes, 10u);
  EXPECT_EQ(f.asked(0).header("Range"), "bytes=2-4");
  headers.back().second = "bytes 3-5/10";
  f.http.say(206, "def", headers);
  EXPECT_EQ(kind_of(f.store.get("k", 2, 3)), "corrupt");
}

TEST(Get, BrokenBodyIsResumedOfTheSameObject) {
  ScriptedStore f;
  f.http.say(200, "abcd", object("e", "10"));
  f.http.and_break_off();
  auto headers = object("e", "6");
  headers.emplace_back("content-range", "bytes 4-9/10");
  f.http.say(206, "ef", headers);
  f.http.and_break_off();
  headers = object("e", "4");
  headers.emplace_back("content-range", "bytes 6-9/10");
  f.http.say(206, "ghij", headers);
  const auto read = f.store.get("k", 0, std::nullopt);
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_EQ(as_text(read->bytes), "abcdefghij");
  EXPECT_EQ(f.asked(1).header("Range"), "bytes=4-9");
  EXPECT_EQ(f.asked(1).header("If-Match"), "\"e\"");
}

TEST(Get, RestOfAnotherObjectIsNotJoined) {
  ScriptedStore f;
  f.http.say(200, "abcd", object("e", "6"));
  f.http.and_break_off();
  auto headers = object("other", "2");
  headers.emplace_back("content-range", "bytes 4-5/6");
  for (int i = 0; i < 3; ++i) f.http.say(206, "xx", headers);
  EXPECT_EQ(kind_of(f.store.get("k", 0, std::nullopt)), "retry_later");
}

TEST(Get, WholeObjectIsComparedWithTheSumThatItWasPutWith) {
  ScriptedStore f;
  f.http.say(200, {}, {{"etag", "\"e\""}});
  EXPECT_EQ(kind_of(f.put_new("abc")), "ok");
  f.http.say(200, {}, {{"etag", "\"e\""}});
  EXPECT_EQ(kind_of(f.put_if()), "ok");
  const std::string name = "x-amz-meta-cairn-crc64nvme", sum = base64_be(crc64nvme(0, as_bytes("abc")));
  EXPECT_EQ(f.asked(0).header(name), sum);
  EXPECT_EQ(f.asked(1).header(name), base64_be(crc64nvme(0, as_bytes("x"))));

  const auto get = [&](std::string_view body, const std::string& of, std::optional<std::uint64_t> length) {
    auto headers = object("e", std::to_string(body.size()));
    if (length) headers.emplace_back("content-range", "bytes 0-" + std::to_string(body.size() - 1) + of);
    headers.emplace_back(name, sum);
    f.http.say(length ? 206 : 200, body, headers);
    return kind_of(f.store.get("k", 0, length));
  };
  EXPECT_EQ(get("abc", "", std::nullopt), "ok");
  EXPECT_EQ(get("abX", "", std::nullopt), "corrupt");
  EXPECT_EQ(get("abc", "/3", 100), "ok");
  EXPECT_EQ(get("abX", "/3", 100), "corrupt");
  EXPECT_EQ(get("abX", "/4", 3), "ok");
  // Who knows how much there is has its own checksums, and tells more of what is damaged.
  EXPECT_EQ(get("abX", "/3", 3), "ok");
  auto tail = object("e", "3");
  tail.insert(tail.end(), {{"content-range", "bytes 0-2/3"}, {name, sum}});
  f.http.say(206, "abX", tail);
  EXPECT_EQ(kind_of(f.store.get_suffix("k", 100)), "ok");
}

// read: as what comes is taken, and not held

struct Taken {
  Store::TakePiece take() {
    return [this](const ObjectInfo& whole, ByteView piece) -> Result<void> {
      size_bytes = whole.size_bytes;
      text += as_text(piece);
      if (text.size() >= most) return Error(ErrorKind::retry_later, "enough");
      return {};
    };
  }
  std::string text;
  std::uint64_t size_bytes = 0;
  std::size_t most = 1000;
};

ScriptedHttp::Headers range_of(const std::string& etag, const std::string& range, const std::string& length) {
  auto headers = object(etag, length);
  headers.emplace_back("content-range", "bytes " + range);
  return headers;
}

TEST(Read, GoesOnBehindWhatWasTakenWithTheSameObject) {
  ScriptedStore f;
  f.http.say(206, "cdef", range_of("e", "2-9/12", "8"));
  f.http.and_break_off();
  f.http.fail(ErrorKind::maybe_done);
  f.http.say(206, "", range_of("e", "6-9/12", "4"));
  f.http.and_break_off();
  f.http.say(206, "ghij", range_of("e", "6-9/12", "4"));
  Taken taken;
  const auto read = f.store.read("k", 2, 8, taken.take());
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_EQ(taken.text, "cdefghij");
  EXPECT_EQ(taken.size_bytes, 12u);
  EXPECT_EQ(read->size_bytes, 12u);
  EXPECT_EQ(f.asked(0).header("Range"), "bytes=2-9");
  EXPECT_EQ(f.asked(3).header("Range"), "bytes=6-9");
  EXPECT_EQ(f.asked(3).header("If-Match"), "\"e\"");
}

TEST(Read, NothingIsTakenOfWhatDoesNotFit) {
  ScriptedStore f;
  Taken taken;
  f.http.say(206, "defg", range_of("e", "3-6/12", "4"));  // another range
  EXPECT_EQ(kind_of(f.store.read("k", 2, 4, taken.take())), "corrupt");
  f.http.say(206, "cdefg", range_of("e", "2-5/12", "4"));  // more than it says
  EXPECT_EQ(kind_of(f.store.read("k", 2, 4, taken.take())), "corrupt");
  EXPECT_EQ(taken.text, "cde");
  f.http.say_code(503, "SlowDown");  // a document
  EXPECT_EQ(kind_of(f.store.read("k", 2, 4, taken.take())), "retry_later");
  f.http.say_code(404, "NoSuchKey");
  EXPECT_EQ(kind_of(f.store.read("k", 2, 4, taken.take())), "not_found");
  f.http.say(200, "abcdefghijkl", object("e", "12"));  // ranges are not known there
  EXPECT_EQ(kind_of(f.store.read("k", 2, 4, taken.take())), "corrupt");
  EXPECT_EQ(taken.text, "cde");
}

TEST(Read, RestOfAnotherObjectIsNotTaken) {
  ScriptedStore f;
  f.http.say(206, "abcd", range_of("e", "0-5/6", "6"));
  f.http.and_break_off();
  for (int i = 0; i < 2; ++i) f.http.say(206, "xx", range_of("other", "4-5/6", "2"));
  f.http.say(206, "xx", range_of("e", "4-5/7", "2"));
  Taken taken;
  EXPECT_EQ(kind_of(f.store.read("k", 0, 6, taken.take())), "retry_later");
  EXPECT_EQ(taken.text, "abcd");
}

TEST(Read, WhoHasEnoughIsNotAskedAgain) {
  ScriptedStore f;
  f.http.say(206, "abcdef", range_of("e", "0-5/6", "6"));
  Taken taken;
  taken.most = 3;
  EXPECT_EQ(f.store.read("k", 0, 6, taken.take()).error().message(), "enough");
  EXPECT_EQ(taken.text, "abc");
  f.http.say(206, "abc", range_of("e", "0-5/6", "6"));
  f.http.and_break_off();
  f.http.say(206, "def", range_of("e", "3-5/6", "3"));
  taken = {.text = {}, .most = 5};
  EXPECT_EQ(f.store.read("k", 0, 6, taken.take()).error().message(), "enough");
}

TEST(Get, OnlyAReal404IsNotFound) {
  ScriptedStore f;
  f.http.say_code(404, "NoSuchKey");
  EXPECT_EQ(kind_of(f.store.get("k", 0, std::nullopt)), "not_found");
  f.http.say_code(404, "NoSuchBucket");
  EXPECT_EQ(kind_of(f.store.get("k", 0, std::nullopt)), "denied");
  f.http.say(404, "<html>not here</html>");
  EXPECT_EQ(kind_of(f.store.get("k", 0, std::nullopt)), "invalid");
  f.http.say(404, "<Err");
  f.http.and_break_off();
  EXPECT_EQ(kind_of(f.store.get("k", 0, std::nullopt)), "retry_later");
  f.http.fail(ErrorKind::maybe_done);
  EXPECT_EQ(kind_of(f.store.get("k", 0, std::nullopt)), "retry_later");  // reading has no effect
}

TEST(Head, MissingBucketIsNoMissingObject) {
  ScriptedStore f;
  f.http.say(404);
  f.http.say(404);
  const auto head = f.store.head("k");
  ASSERT_EQ(kind_of(head), "denied");
  EXPECT_EQ(f.asked(1).line(), "HEAD /bkt");
}

TEST(Head, RefusalIsAskedAboutInWords) {
  ScriptedStore f;
  f.http.say(403);
  f.http.say_code(403, "InvalidAccessKeyId");
  const auto head = f.store.head("k");
  ASSERT_EQ(kind_of(head), "denied");
  EXPECT_THAT(head.error().message(), HasSubstr("does not know the access key id (from the test)"));
  EXPECT_THAT(head.error().message(), Not(HasSubstr("hunter2")));
}

TEST(Get, BucketIsMadeWhenItWasAskedForAndNothingIsThere) {
  ScriptedStore f("?endpoint=http://h&create_bucket=true", Dialect());
  f.http.say_code(404, "NoSuchBucket");
  f.http.say(404);  // a look whether it is there
  f.http.say(200);  // made
  f.http.say_code(404, "NoSuchKey");
  EXPECT_EQ(kind_of(f.store.get("a", 0, std::nullopt)), "not_found");
  EXPECT_EQ(f.asked(2).method, "PUT");

  ScriptedStore not_asked("?endpoint=http://h", Dialect());
  not_asked.http.say_code(404, "NoSuchBucket");
  EXPECT_EQ(kind_of(not_asked.store.get("a", 0, std::nullopt)), "denied");
}

}  // namespace
}  // namespace cairn::s3
