// Listing and deleting many, against answers of a script.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "s3/checksum.h"
#include "s3/scripted_store.h"

namespace cairn::s3 {
namespace {

using ::testing::HasSubstr;

// Listing

TEST(List, BucketThatSomebodyElseMakesAtThatMomentIsThere) {
  ScriptedStore f("?endpoint=http://h&create_bucket=true", Dialect());
  f.http.say_code(404, "NoSuchBucket");
  f.http.say(200);
  f.http.say(200, listing({"pre/a"}, "false"));
  const auto page = f.store.list("", "", 0);
  ASSERT_EQ(kind_of(page), "ok");
  EXPECT_EQ(page->objects.size(), 1u);
}
TEST(List, LeavesOutWhatIsNoKeyAndGoesOn) {
  ScriptedStore f;
  f.http.say(200, listing({"pre/.cairn-probe", "pre/a/"}, "true"));
  f.http.say(200, listing({"pre/b", "pre/c"}, "false"));
  const auto page = f.store.list("", "", 2);
  ASSERT_TRUE(page) << page.error().message();
  ASSERT_EQ(page->objects.size(), 2u);
  EXPECT_EQ(page->objects[0].key, "b");
  EXPECT_FALSE(page->more);
  EXPECT_THAT(f.asked(1).target, HasSubstr("start-after=pre%2Fa%2F"));
}

TEST(List, DisorderAndBrokenListsAreErrors) {
  ScriptedStore f;
  f.http.say(200, listing({"pre/b", "pre/a"}, "false"));
  EXPECT_EQ(kind_of(f.store.list("", "", 0)), "corrupt");  // which is asked for again
  f.http.say(200, listing({"pre/aa", "pre/b"}, "false"));
  EXPECT_EQ(kind_of(f.store.list("a", "", 0)), "corrupt");
  f.http.say(200, listing({"pre/a"}, "true", "<NextContinuationToken>t</NextContinuationToken>"));
  f.http.say_code(400, "InvalidArgument");
  EXPECT_EQ(kind_of(f.store.list("", "", 5)), "corrupt");
  f.http.say(200, listing({"pre/b"}, "false"));
  f.http.and_break_off();
  EXPECT_EQ(kind_of(f.store.list("", "", 0)), "retry_later");
}
// Deleting many

std::vector<std::string> many_keys(std::size_t count) {
  std::vector<std::string> keys;
  for (std::size_t i = 0; i < count; ++i) keys.push_back("k" + std::to_string(i));
  return keys;
}

TEST(RemoveMany, IsOneRequestWithItsKeysAndTheirDigest) {
  ScriptedStore f;
  f.http.say(200, "<DeleteResult/>");
  const auto left = f.store.remove_many(std::vector<std::string>{"a b", "<&>\"'", "\xc3\xa4"});
  ASSERT_TRUE(left) << left.error().message();
  EXPECT_TRUE(left->empty());
  EXPECT_EQ(f.asked(0).line(), "POST /bkt?delete");
  EXPECT_EQ(f.asked(0).header("Content-MD5"), base64(md5(as_bytes(f.asked(0).body))));
  EXPECT_EQ(f.asked(0).header("x-amz-content-sha256"), hex(sha256(as_bytes(f.asked(0).body))));
  EXPECT_THAT(f.asked(0).body, HasSubstr("<Quiet>true</Quiet><Object><Key>pre/a b</Key></Object>"
                                         "<Object><Key>pre/&lt;&amp;&gt;&quot;'</Key></Object>"
                                         "<Object><Key>pre/\xc3\xa4</Key></Object>"));
}

TEST(RemoveMany, TheStoreSaysOfEachKeyWhatWentWrong) {
  ScriptedStore f;
  f.http.say(200,
             "<DeleteResult><Error><Key>pre/k0</Key><Code>AccessDenied</Code></Error>"
             "<Error><Key>pre/k1</Key><Code>InternalError</Code></Error>"
             "<Error><Key>pre/k2</Key><Code>SlowDown</Code></Error>"
             "<Error><Key>pre/k3</Key><Code>NoSuchKey</Code></Error></DeleteResult>");
  const auto left = f.store.remove_many(many_keys(5));
  ASSERT_TRUE(left) << left.error().message();
  ASSERT_EQ(left->size(), 3u);
  EXPECT_EQ((*left)[0].key, "k0");
  EXPECT_EQ((*left)[0].error.kind(), ErrorKind::denied);
  EXPECT_THAT((*left)[0].error.message(), HasSubstr("s3://bkt/pre/k0"));
  EXPECT_EQ((*left)[1].error.kind(), ErrorKind::maybe_done);
  EXPECT_EQ((*left)[2].error.kind(), ErrorKind::retry_later);
}

TEST(RemoveMany, AThousandARequest) {
  ScriptedStore f;
  for (int i = 0; i < 3; ++i) f.http.say(200, "<DeleteResult/>");
  EXPECT_EQ(kind_of(f.store.remove_many(many_keys(2500))), "ok");
  ASSERT_EQ(f.http.asked.size(), 3u);
  EXPECT_THAT(f.asked(1).body, HasSubstr("<Key>pre/k1000</Key>"));
  EXPECT_THAT(f.asked(1).body, Not(HasSubstr("<Key>pre/k999</Key>")));
  EXPECT_THAT(f.asked(2).body, HasSubstr("<Key>pre/k2499</Key>"));
}

TEST(RemoveMany, OneByOneWhereBatchesAreNotTaken) {
  ScriptedStore f;
  f.http.say_code(501, "NotImplemented");
  f.http.say(204);
  f.http.say_code(403, "AccessDenied");
  const auto left = f.store.remove_many(many_keys(2));
  ASSERT_TRUE(left) << left.error().message();
  ASSERT_EQ(left->size(), 1u);
  EXPECT_EQ((*left)[0].key, "k1");
  EXPECT_EQ((*left)[0].error.kind(), ErrorKind::denied);
  EXPECT_EQ(f.asked(2).line(), "DELETE /bkt/pre/k1");
  // It is remembered.
  f.http.say(204);
  f.http.say(204);
  EXPECT_EQ(kind_of(f.store.remove_many(many_keys(2))), "ok");
  EXPECT_EQ(f.asked(3).line(), "DELETE /bkt/pre/k0");
}

TEST(RemoveMany, KeysThatXmlCannotNameGoByThemselves) {
  ScriptedStore f;
  f.http.say(204);
  f.http.say(204);
  f.http.say(200, "<DeleteResult/>");
  EXPECT_EQ(kind_of(f.store.remove_many(std::vector<std::string>{"a\x01", "b", "c\r\n", "d"})), "ok");
  EXPECT_EQ(f.asked(0).line(), "DELETE /bkt/pre/a%01");
  EXPECT_EQ(f.asked(1).line(), "DELETE /bkt/pre/c%0D%0A");
  EXPECT_EQ(f.asked(2).line(), "POST /bkt?delete");
}

TEST(RemoveMany, AnAnswerThatCannotBeUnderstoodIsNoSuccess) {
  ScriptedStore f;
  f.http.say(200, "<DeleteResult><Error><Key>pre/other</Key><Code>AccessDenied</Code></Error></DeleteResult>");
  EXPECT_EQ(kind_of(f.store.remove_many(many_keys(2))), "corrupt");
  f.http.say(200, "");
  EXPECT_EQ(kind_of(f.store.remove_many(many_keys(2))), "corrupt");
  f.http.say(200, "<DeleteResult><Err");
  f.http.and_break_off();
  EXPECT_EQ(kind_of(f.store.remove_many(many_keys(2))), "maybe_done");
  f.http.say_code(200, "InternalError");
  EXPECT_EQ(kind_of(f.store.remove_many(many_keys(2))), "maybe_done");
}

}  // namespace
}  // namespace cairn::s3
