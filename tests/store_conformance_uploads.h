// What every store must do, continued: objects that arrive in parts.
#pragma once

#include "store_conformance.h"

namespace cairn {

// Multipart.

TEST_P(StoreConformance, PartsInAnyOrderBecomeOneObject) {
  if (!store().capabilities().multipart) GTEST_SKIP() << "this store has no multipart uploads";
  const std::string one = bytes_of(1, part_bytes()), two = bytes_of(2, part_bytes()), last = bytes_of(3, 1000);
  const std::string id = begin("big/object");
  const PartInfo p3 = put_part("big/object", id, 3, last);
  const PartInfo p1 = put_part("big/object", id, 1, one);
  const PartInfo p2 = put_part("big/object", id, 2, two);
  EXPECT_EQ(text_of("big/object"), "error: not_found");
  EXPECT_TRUE(keys().empty());
  const auto etag = store().complete_new("big/object", id, std::vector{p1, p2, p3});
  ASSERT_TRUE(etag) << etag.error().message();
  EXPECT_TRUE(text_of("big/object") == one + two + last);
  EXPECT_EQ(store().head("big/object")->etag, *etag);
  EXPECT_EQ(keys(), (std::vector<std::string>{"big/object"}));
  EXPECT_TRUE(store().list_uploads("")->empty());
}

TEST_P(StoreConformance, PartsFromManyThreadsBecomeOneObject) {
  if (!store().capabilities().multipart) GTEST_SKIP() << "this store has no multipart uploads";
  constexpr int kParts = 24, kThreads = 6;
  const std::string id = begin("a");
  std::vector<PartInfo> parts(kParts);
  std::vector<std::string> texts;
  std::string whole;
  for (int i = 0; i < kParts; ++i) {
    texts.push_back(bytes_of(static_cast<std::uint64_t>(i), i + 1 < kParts ? part_bytes() : 123));
    whole += texts.back();
  }
  race(kThreads, [&](int thread) {
    for (int i = kParts - 1 - thread; i >= 0; i -= kThreads) {
      parts[static_cast<std::size_t>(i)] = put_part("a", id, i + 1, texts[static_cast<std::size_t>(i)]);
    }
  });
  const auto done = store().complete_new("a", id, parts);
  ASSERT_TRUE(done) << done.error().message();
  EXPECT_TRUE(text_of("a") == whole);
}

TEST_P(StoreConformance, PartsNeedNotBeOfOneSize) {
  if (!store().capabilities().multipart) GTEST_SKIP() << "this store has no multipart uploads";
  const std::size_t n = part_bytes();
  const std::vector<std::string> texts{bytes_of(1, n + 7), bytes_of(2, n), bytes_of(3, 2 * n), bytes_of(4, n + 1),
                                       bytes_of(5, 3)};
  const std::string id = begin("a");
  std::vector<PartInfo> parts;
  std::string whole;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    parts.push_back(put_part("a", id, static_cast<int>(i) + 1, texts[i]));
    whole += texts[i];
  }
  ASSERT_TRUE(store().complete_new("a", id, parts));
  EXPECT_TRUE(text_of("a") == whole);
}

TEST_P(StoreConformance, ReplacedPartCountsAndTheOldOneIsRefused) {
  if (!store().capabilities().multipart) GTEST_SKIP() << "this store has no multipart uploads";
  const std::string old_one = bytes_of(1, part_bytes()), one = bytes_of(2, part_bytes()), two = bytes_of(3, 10);
  const std::string id = begin("a");
  const PartInfo old_p1 = put_part("a", id, 1, old_one);
  const PartInfo p2 = put_part("a", id, 2, two);
  const PartInfo p1 = put_part("a", id, 1, one);
  EXPECT_NE(old_p1.etag, p1.etag);
  EXPECT_EQ(outcome(store().complete_new("a", id, std::vector{old_p1, p2})), "invalid");
  const auto listed = store().list_parts("a", id);
  ASSERT_TRUE(listed);
  ASSERT_EQ(listed->size(), 2u);
  EXPECT_EQ((*listed)[0].etag, p1.etag);
  ASSERT_TRUE(store().complete_new("a", id, std::vector{p1, p2}));
  EXPECT_TRUE(text_of("a") == one + two);
}

TEST_P(StoreConformance, PartReplacedByAShorterOneLeavesNothingOfTheOld) {
  if (!store().capabilities().multipart) GTEST_SKIP() << "this store has no multipart uploads";
  const std::string one = bytes_of(1, part_bytes()), old_two = bytes_of(2, part_bytes()), two = bytes_of(3, 5);
  const std::string id = begin("a");
  const PartInfo p1 = put_part("a", id, 1, one);
  put_part("a", id, 2, old_two);
  const PartInfo p2 = put_part("a", id, 2, two);
  ASSERT_TRUE(store().complete_new("a", id, std::vector{p1, p2}));
  EXPECT_TRUE(text_of("a") == one + two);
}

TEST_P(StoreConformance, ObjectIsMadeOfExactlyThePartsNamed) {
  if (!store().capabilities().multipart) GTEST_SKIP() << "this store has no multipart uploads";
  if (!store().capabilities().leaves_out_parts) GTEST_SKIP() << "this store may want every part to be named";
  const std::string id = begin("a");
  std::vector<PartInfo> parts;
  std::vector<std::string> texts;
  for (int i = 1; i <= 4; ++i) {
    texts.push_back(bytes_of(static_cast<std::uint64_t>(i), part_bytes()));
    parts.push_back(put_part("a", id, i * 10, texts.back()));
  }
  ASSERT_TRUE(store().complete_new("a", id, std::vector{parts[0], parts[2]}));
  EXPECT_TRUE(text_of("a") == texts[0] + texts[2]);

  const std::string prefix_id = begin("b");
  const PartInfo first = put_part("b", prefix_id, 1, texts[0]);
  put_part("b", prefix_id, 2, texts[1]);
  ASSERT_TRUE(store().complete_new("b", prefix_id, std::vector{first}));
  EXPECT_TRUE(text_of("b") == texts[0]);
}

TEST_P(StoreConformance, WrongPartsAreInvalidAndTheUploadStays) {
  if (!store().capabilities().multipart) GTEST_SKIP() << "this store has no multipart uploads";
  const std::string one = bytes_of(1, part_bytes());
  const std::string id = begin("a");
  const PartInfo p1 = put_part("a", id, 1, one);
  const PartInfo p2 = put_part("a", id, 2, "end");
  PartInfo wrong = p1, missing = p2;
  wrong.etag = p2.etag;
  missing.number = 3;
  EXPECT_EQ(outcome(store().complete_new("a", id, std::vector{wrong, p2})), "invalid");
  EXPECT_EQ(outcome(store().complete_new("a", id, std::vector{p1, p2, missing})), "invalid");
  EXPECT_EQ(outcome(store().complete_new("a", id, std::vector{p2, p1})), "invalid");
  EXPECT_EQ(outcome(store().complete_new("a", id, std::vector{p1, p1})), "invalid");
  EXPECT_EQ(outcome(store().complete_new("a", id, {})), "invalid");
  EXPECT_EQ(text_of("a"), "error: not_found");
  ASSERT_TRUE(store().complete_new("a", id, std::vector{p1, p2}));
  EXPECT_TRUE(text_of("a") == one + "end");
}

TEST_P(StoreConformance, PartNumbersGoFrom1To10000) {
  if (!store().capabilities().multipart) GTEST_SKIP() << "this store has no multipart uploads";
  const std::string id = begin("a");
  const BytesSource body(as_bytes("x"));
  for (const int number : {0, -1, 10001})
    EXPECT_EQ(outcome(store().put_part("a", id, number, body)), "invalid") << number;
  const std::string one = bytes_of(1, part_bytes());
  const PartInfo p1 = put_part("a", id, 1, one);
  const PartInfo last = put_part("a", id, 10000, "x");
  ASSERT_TRUE(store().complete_new("a", id, std::vector{p1, last}));
  EXPECT_TRUE(text_of("a") == one + "x");
}

TEST_P(StoreConformance, CompletingNeverReplacesAndTheUploadStays) {
  if (!store().capabilities().multipart) GTEST_SKIP() << "this store has no multipart uploads";
  const std::string id = begin("a");
  const PartInfo p1 = put_part("a", id, 1, "uploaded");
  ASSERT_TRUE(put_new("a", "there first"));
  EXPECT_EQ(outcome(store().complete_new("a", id, std::vector{p1})), "conflict");
  EXPECT_EQ(text_of("a"), "there first");
  EXPECT_EQ(store().list_parts("a", id)->size(), 1u);
  ASSERT_TRUE(store().remove("a"));
  ASSERT_TRUE(store().complete_new("a", id, std::vector{p1}));
  EXPECT_EQ(text_of("a"), "uploaded");
}

TEST_P(StoreConformance, OfManyUploadsOfOneKeyExactlyOneWins) {
  if (!store().capabilities().multipart) GTEST_SKIP() << "this store has no multipart uploads";
  constexpr int kThreads = 8;
  std::atomic<int> winners = 0, losers = 0, winner = -1;
  race(kThreads, [&](int i) {
    const std::string id = begin("a");
    const PartInfo part = put_part("a", id, 1, bytes_of(static_cast<std::uint64_t>(i), 5000));
    const auto done = store().complete_new("a", id, std::vector{part});
    if (done) {
      ++winners;
      winner = i;
    } else if (done.error().kind() == ErrorKind::conflict) {
      ++losers;
    }
  });
  EXPECT_EQ(winners, 1);
  EXPECT_EQ(losers, kThreads - 1);
  EXPECT_EQ(text_of("a"), bytes_of(static_cast<std::uint64_t>(winner.load()), 5000));
  EXPECT_EQ(store().list_uploads("")->size(), static_cast<std::size_t>(kThreads - 1));
}

TEST_P(StoreConformance, UploadOfNobodyIsNotFound) {
  if (!store().capabilities().multipart) GTEST_SKIP() << "this store has no multipart uploads";
  const BytesSource body(as_bytes("x"));
  const std::string id = begin("a");
  const PartInfo p1 = put_part("a", id, 1, "x");
  const std::string other = id.substr(0, id.size() - 1) + (id.back() == '0' ? '1' : '0');
  const std::vector<std::pair<std::string, std::string>> wrong{
      {"a", other}, {"a", ""}, {"a", "../a"}, {"a", "x/y"}, {"b", id}};
  for (const auto& [key, upload_id] : wrong) {
    EXPECT_EQ(outcome(store().put_part(key, upload_id, 1, body)), "not_found") << key << " " << upload_id;
    EXPECT_EQ(outcome(store().list_parts(key, upload_id)), "not_found") << key << " " << upload_id;
    if (upload_id != id || !store().capabilities().late_names) {
      EXPECT_EQ(outcome(store().complete_new(key, upload_id, std::vector{p1})), "not_found") << key << upload_id;
    }
    EXPECT_EQ(outcome(store().abort_upload(key, upload_id)), "ok") << key << " " << upload_id;
  }
  EXPECT_EQ(store().list_parts("a", id)->size(), 1u);
}

TEST_P(StoreConformance, UploadMayGetItsNameLate) {
  if (!store().capabilities().late_names) GTEST_SKIP() << "this store wants the key of an upload when it begins";
  const std::string id = begin("tmp/a");
  const PartInfo p1 = put_part("tmp/a", id, 1, "whole");
  ASSERT_TRUE(put_new("taken", "there first"));
  EXPECT_EQ(outcome(store().complete_new("taken", id, std::vector{p1})), "conflict");
  EXPECT_EQ(text_of("taken"), "there first");
  EXPECT_EQ(outcome(store().complete_new("name/late", id, std::vector{p1})), "ok");
  EXPECT_EQ(text_of("name/late"), "whole");
  EXPECT_EQ(keys(), (std::vector<std::string>{"name/late", "taken"}));
  EXPECT_TRUE(store().list_uploads("")->empty());
  EXPECT_EQ(outcome(store().complete_new("name/again", id, std::vector{p1})), "not_found");
}

TEST_P(StoreConformance, FinishedUploadTakesNoMoreParts) {
  if (!store().capabilities().multipart) GTEST_SKIP() << "this store has no multipart uploads";
  const std::string id = begin("a");
  const PartInfo p1 = put_part("a", id, 1, "whole");
  ASSERT_TRUE(store().complete_new("a", id, std::vector{p1}));
  EXPECT_EQ(outcome(store().put_part("a", id, 1, BytesSource(as_bytes("later")))), "not_found");
  EXPECT_EQ(outcome(store().list_parts("a", id)), "not_found");
  EXPECT_EQ(text_of("a"), "whole");
}

TEST_P(StoreConformance, AbortedUploadIsForgotten) {
  if (!store().capabilities().multipart) GTEST_SKIP() << "this store has no multipart uploads";
  const std::string id = begin("a");
  const PartInfo p1 = put_part("a", id, 1, "x");
  EXPECT_EQ(outcome(store().abort_upload("a", id)), "ok");
  EXPECT_EQ(outcome(store().abort_upload("a", id)), "ok");
  EXPECT_EQ(outcome(store().list_parts("a", id)), "not_found");
  EXPECT_EQ(outcome(store().complete_new("a", id, std::vector{p1})), "not_found");
  EXPECT_TRUE(store().list_uploads("")->empty());
  EXPECT_TRUE(keys().empty());
}

TEST_P(StoreConformance, PartsThatArrivedAreListedInOrder) {
  if (!store().capabilities().multipart) GTEST_SKIP() << "this store has no multipart uploads";
  const std::string id = begin("a");
  EXPECT_TRUE(store().list_parts("a", id)->empty());
  std::vector<PartInfo> put;
  for (const int number : {7, 1, 10000, 30})
    put.push_back(put_part("a", id, number, bytes_of(1, 100 + static_cast<unsigned>(number) % 50)));
  std::sort(put.begin(), put.end(), [](const PartInfo& a, const PartInfo& b) { return a.number < b.number; });
  const auto listed = store().list_parts("a", id);
  ASSERT_TRUE(listed);
  ASSERT_EQ(listed->size(), put.size());
  for (std::size_t i = 0; i < put.size(); ++i) {
    EXPECT_EQ((*listed)[i].number, put[i].number);
    EXPECT_EQ((*listed)[i].etag, put[i].etag);
    EXPECT_EQ((*listed)[i].size_bytes, put[i].size_bytes);
  }
}

TEST_P(StoreConformance, MoreThan1000PartsAreListedAndCompleted) {
  if (!store().capabilities().multipart) GTEST_SKIP() << "this store has no multipart uploads";
  if (store().capabilities().min_part_bytes > 1000)
    GTEST_SKIP() << "parts of this store are too large for 1100 of them";
  const std::string id = begin("a");
  std::string whole;
  for (int i = 1; i <= 1100; ++i) {
    const std::string text = bytes_of(static_cast<std::uint64_t>(i), 100);
    put_part("a", id, i, text);
    whole += text;
  }
  const auto parts = store().list_parts("a", id);
  ASSERT_TRUE(parts);
  ASSERT_EQ(parts->size(), 1100u);
  ASSERT_TRUE(store().complete_new("a", id, *parts));
  EXPECT_TRUE(text_of("a") == whole);
}

TEST_P(StoreConformance, FailedPartLeavesTheUploadUsable) {
  if (!store().capabilities().multipart) GTEST_SKIP() << "this store has no multipart uploads";
  const std::string id = begin("a");
  EXPECT_EQ(outcome(store().put_part("a", id, 1, FailingSource())), "cancelled");
  EXPECT_TRUE(store().list_parts("a", id)->empty());
  const PartInfo p1 = put_part("a", id, 1, "good");
  ASSERT_TRUE(store().complete_new("a", id, std::vector{p1}));
  EXPECT_EQ(text_of("a"), "good");
}

TEST_P(StoreConformance, UploadsAreListedByKeyThenId) {
  if (!store().capabilities().multipart) GTEST_SKIP() << "this store has no multipart uploads";
  std::vector<std::pair<std::string, std::string>> begun;
  for (const char* key : {"b", "a/1", "a/2", "a/1", "a-0", "ab"}) begun.emplace_back(key, begin(key));
  std::sort(begun.begin(), begun.end());
  const auto all = store().list_uploads("");
  ASSERT_TRUE(all) << all.error().message();
  ASSERT_EQ(all->size(), begun.size());
  for (std::size_t i = 0; i < begun.size(); ++i) {
    EXPECT_EQ((*all)[i].key, begun[i].first);
    EXPECT_EQ((*all)[i].upload_id, begun[i].second);
  }
  EXPECT_EQ(store().list_uploads("a/")->size(), 3u);
  EXPECT_EQ(store().list_uploads("a/1")->size(), 2u);
  EXPECT_EQ(store().list_uploads("c")->size(), 0u);
}

TEST_P(StoreConformance, PartsAreCopiedFromObjects) {
  if (!store().capabilities().copy_part) GTEST_SKIP() << "this store does not copy parts";
  const std::size_t n = part_bytes();
  const std::string source = bytes_of(9, 3 * n);
  ASSERT_TRUE(put_new("source", source));
  const std::string id = begin("a");
  const auto p1 = store().copy_part("a", id, 1, "source", n, n);
  ASSERT_TRUE(p1) << p1.error().message();
  EXPECT_EQ(p1->size_bytes, n);
  const PartInfo p2 = put_part("a", id, 2, bytes_of(10, n));
  const auto p3 = store().copy_part("a", id, 3, "source", 0, 3 * n);
  ASSERT_TRUE(p3);
  ASSERT_TRUE(store().complete_new("a", id, std::vector{*p1, p2, *p3}));
  EXPECT_TRUE(text_of("a") == source.substr(n, n) + bytes_of(10, n) + source);
  EXPECT_TRUE(text_of("source") == source);
}

TEST_P(StoreConformance, CopiedRangeMustBeThere) {
  if (!store().capabilities().copy_part) GTEST_SKIP() << "this store does not copy parts";
  ASSERT_TRUE(put_new("source", "0123456789"));
  const std::string id = begin("a");
  EXPECT_EQ(outcome(store().copy_part("a", id, 1, "none", 0, 1)), "not_found");
  EXPECT_EQ(outcome(store().copy_part("a", id, 1, "source", 0, 11)), "invalid");
  EXPECT_EQ(outcome(store().copy_part("a", id, 1, "source", 10, 1)), "invalid");
  EXPECT_EQ(outcome(store().copy_part("a", id, 1, "source", ~std::uint64_t{0}, 2)), "invalid");
  EXPECT_EQ(outcome(store().copy_part("a", id, 1, "source", 0, 0)), "invalid");
  EXPECT_TRUE(store().list_parts("a", id)->empty());
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(StoreConformance);

}  // namespace cairn
