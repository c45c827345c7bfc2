// What S3Options say of new objects, on a store that refuses each header that is missing, or stands where it means
// nothing. Every operation is used; what is kept tells whether the options arrived.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/bytes.h"
#include "s3_store/twin_store.h"
#include "twin/client.h"

namespace cairn::s3 {
namespace {

constexpr const char* kCustomerKey = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

struct Choice {
  std::string name;
  void (*choose)(S3Options&);
  std::vector<twin::Header> kept;  // what the object must show
  twin::Tls tls = twin::Tls::off;
};

void PrintTo(const Choice& one, std::ostream* out) { *out << one.name; }

class Options : public ::testing::TestWithParam<Choice> {
 protected:
  static TwinStoreOptions options() {
    TwinStoreOptions options;
    options.twin.tls = GetParam().tls;
    options.twin.min_part_bytes = kPart;
    options.twin.requester_pays = GetParam().name == "requester_pays";
    options.large = {4, 2 * kPart, 2 * kPart, kPart, kPart};
    GetParam().choose(options.s3);
    return options;
  }
  static std::string bytes(std::size_t size, char first) {
    std::string text(size, first);
    for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(text[i] + static_cast<char>(i / 977));
    return text;
  }
  void expect_object(const std::string& key, const std::string& text) {
    const auto object = on_.store->get(key);
    ASSERT_TRUE(object) << key << ": " << object.error().message();
    EXPECT_TRUE(as_text(object->bytes) == text) << key;
    const auto end = on_.store->get_suffix(key, 7);
    ASSERT_TRUE(end) << key << ": " << end.error().message();
    EXPECT_EQ(as_text(end->bytes), text.substr(text.size() - 7));
    const auto middle = on_.store->get(key, 2, 3);
    ASSERT_TRUE(middle) << key << ": " << middle.error().message();
    EXPECT_EQ(as_text(middle->bytes), text.substr(2, 3));
    const auto head = on_.store->head(key);
    ASSERT_TRUE(head) << key << ": " << head.error().message();
    EXPECT_EQ(head->size_bytes, text.size());
    for (const twin::Header& kept : GetParam().kept) {
      EXPECT_EQ(on_.twin.header_of("bucket", key, kept.name), kept.value) << key << ": " << kept.name;
    }
  }

  TwinStore on_{options()};
};

TEST_P(Options, SmallObjects) {
  Store& store = *on_.store;
  const std::string first = bytes(1000, 'a'), second = bytes(2000, 'b');
  const auto etag = store.put_new("small", BytesSource(as_bytes(first)));
  ASSERT_TRUE(etag) << etag.error().message();
  expect_object("small", first);
  EXPECT_EQ(store.put_new("small", BytesSource(as_bytes(second))).error().kind(), ErrorKind::conflict);
  const auto replaced = store.put_if("small", BytesSource(as_bytes(second)), *etag);
  ASSERT_TRUE(replaced) << replaced.error().message();
  EXPECT_NE(*replaced, *etag);
  expect_object("small", second);
  EXPECT_EQ(store.list("")->objects.size(), 1u);
  EXPECT_TRUE(store.remove("small"));
  EXPECT_TRUE(store.remove_many(std::vector<std::string>{"small", "other"})->empty());
}

TEST_P(Options, LargeObjectsAndTheirParts) {
  Store& store = *on_.store;
  const std::string large = bytes(5 * kPart + 100, 'c');
  const auto put = store.put_new("large", BytesSource(as_bytes(large)));
  ASSERT_TRUE(put) << put.error().message();
  expect_object("large", large);

  const auto id = store.begin_upload("made");
  ASSERT_TRUE(id) << id.error().message();
  const std::string part = bytes(kPart, 'd');
  const auto one = store.put_part("made", *id, 1, BytesSource(as_bytes(part)));
  ASSERT_TRUE(one) << one.error().message();
  const auto two = store.copy_part("made", *id, 2, "large", 0, kPart);
  ASSERT_TRUE(two) << two.error().message();
  const auto listed = store.list_parts("made", *id);
  ASSERT_TRUE(listed) << listed.error().message();
  ASSERT_EQ(listed->size(), 2u);
  const auto completed = store.complete_new("made", *id, *listed);
  ASSERT_TRUE(completed) << completed.error().message();
  expect_object("made", part + large.substr(0, kPart));

  const auto given_up = store.begin_upload("never");
  ASSERT_TRUE(given_up) << given_up.error().message();
  EXPECT_EQ(store.list_uploads("")->size(), 1u);
  EXPECT_TRUE(store.abort_upload("never", *given_up));
  EXPECT_EQ(on_.twin.upload_count("bucket"), 0u);
}

// The answer is lost, and what lies there has to tell whose it is: by token, since no etag says anything of the bytes.
TEST_P(Options, LostAnswersAreClearedUp) {
  Store& store = *on_.store;
  // What the store can do is learned before.
  ASSERT_TRUE(store.put_new("first", BytesSource(as_bytes(bytes(4 * kPart, 'x')))));
  on_.twin.fail_next(twin::Operation::put_object, twin::Fault::reset_after);
  const auto put = store.put_new("small", BytesSource(as_bytes("bytes of mine")));
  EXPECT_TRUE(put) << put.error().message();
  on_.twin.fail_next(twin::Operation::complete_upload, twin::Fault::lost_complete);
  const std::string large = bytes(4 * kPart, 'e');
  const auto completed = store.put_new("large", BytesSource(as_bytes(large)));
  EXPECT_TRUE(completed) << completed.error().message();
  expect_object("large", large);
}

INSTANTIATE_TEST_SUITE_P(
    Each, Options,
    ::testing::Values(
        Choice{"kms", [](S3Options& o) { o.encryption = "aws:kms"; }, {{"x-amz-server-side-encryption", "aws:kms"}}},
        Choice{"kms_key_over_tls",
               [](S3Options& o) {
                 o.encryption = "aws:kms";
                 o.kms_key_id = "arn:aws:kms:eu-central-1:1:key/2";
               },
               {{"x-amz-server-side-encryption", "aws:kms"},
                {"x-amz-server-side-encryption-aws-kms-key-id", "arn:aws:kms:eu-central-1:1:key/2"}},
               twin::Tls::good},
        Choice{"sse_s3", [](S3Options& o) { o.encryption = "AES256"; }, {{"x-amz-server-side-encryption", "AES256"}}},
        Choice{"customer_key", [](S3Options& o) { o.customer_key = kCustomerKey; },
               {{"x-amz-server-side-encryption-customer-algorithm", "AES256"}}},
        Choice{"customer_key_over_tls", [](S3Options& o) { o.customer_key = kCustomerKey; },
               {{"x-amz-server-side-encryption-customer-algorithm", "AES256"}}, twin::Tls::good},
        Choice{"class_and_tags",
               [](S3Options& o) {
                 o.storage_class = "STANDARD_IA";
                 o.tags = "team=a%20b&kind=backup";
               },
               {{"x-amz-storage-class", "STANDARD_IA"}, {"x-amz-tagging-count", "2"}}},
        Choice{"requester_pays", [](S3Options& o) { o.requester_pays = true; }, {}}),
    [](const auto& one) { return one.param.name; });

}  // namespace
}  // namespace cairn::s3
