// What every store must do: each contract of cairn/store.h as a test. A store's test file includes this, and
// instantiates the suite:
//
//   INSTANTIATE_TEST_SUITE_P(Memory, StoreConformance, ::testing::Values(StoreFactory{"memory", [] { ... }}),
//                            store_factory_name);
//
// Every test opens a fresh, empty store. Parts are of the store's smallest size, so that the suite is quick where
// parts may be small, and right where they may not.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <latch>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "cairn/store.h"

namespace cairn {

// A store, and whatever must live as long as it (a directory, a server).
struct StoreUnderTest {
  std::shared_ptr<void> environment;
  std::unique_ptr<Store> store;
};

struct StoreFactory {
  std::string name;
  std::function<StoreUnderTest()> open;  // a null store: what it needs is missing; the tests are skipped
};

inline std::string store_factory_name(const ::testing::TestParamInfo<StoreFactory>& info) { return info.param.name; }
inline void PrintTo(const StoreFactory& factory, std::ostream* out) { *out << factory.name; }

class StoreConformance : public ::testing::TestWithParam<StoreFactory> {
 protected:
  void SetUp() override {
    under_test_ = GetParam().open();
    if (!under_test_.store) GTEST_SKIP() << "what the store '" << GetParam().name << "' needs is missing";
  }

  Store& store() { return *under_test_.store; }

  Result<std::string> put_new(std::string_view key, std::string_view text) {
    return store().put_new(key, BytesSource(as_bytes(text)));
  }
  Result<std::string> put_if(std::string_view key, std::string_view text, std::string_view etag) {
    return store().put_if(key, BytesSource(as_bytes(text)), etag);
  }
  // The object's text; or "error: not_found", ...
  std::string text_of(std::string_view key) { return text_of(store().get(key)); }
  static std::string text_of(const Result<Object>& object) {
    return object ? std::string(as_text(object->bytes)) : "error: " + std::string(name_of(object.error().kind()));
  }
  template <class T>
  static std::string outcome(const Result<T>& result) {
    return result ? "ok" : std::string(name_of(result.error().kind()));
  }
  // All keys, listed in pages of `limit`.
  std::vector<std::string> keys(std::string_view prefix = {}, std::string_view start_after = {}, int limit = 0) {
    std::vector<std::string> all;
    std::string after(start_after);
    for (;;) {
      const auto page = store().list(prefix, after, limit);
      if (!page) {
        ADD_FAILURE() << page.error().message();
        return all;
      }
      EXPECT_LE(page->objects.size(), static_cast<std::size_t>(limit > 0 ? limit : 1 << 30));
      for (const ObjectInfo& object : page->objects) all.push_back(object.key);
      if (!page->more) return all;
      if (page->objects.empty()) {
        ADD_FAILURE() << "an empty page says that there is more";
        return all;
      }
      after = page->objects.back().key;
    }
  }
  void put_all(const std::vector<std::string>& names) {
    for (const std::string& name : names) ASSERT_EQ(outcome(put_new(name, name)), "ok") << name;
  }

  // Bytes of one seed: different seeds, different bytes.
  static std::string bytes_of(std::uint64_t seed, std::size_t size_bytes) {
    return SeededRandom(seed).bytes(size_bytes);
  }
  std::size_t part_bytes() { return std::max<std::size_t>(store().capabilities().min_part_bytes, 64 << 10); }
  PartInfo put_part(std::string_view key, std::string_view id, int number, std::string_view text) {
    const auto part = store().put_part(key, id, number, BytesSource(as_bytes(text)));
    EXPECT_TRUE(part) << (part ? "" : part.error().message());
    if (!part) return {};
    EXPECT_EQ(part->number, number);
    EXPECT_EQ(part->size_bytes, text.size());
    return *part;
  }
  std::string begin(std::string_view key) {
    const auto id = store().begin_upload(key);
    EXPECT_TRUE(id) << (id ? "" : id.error().message());
    return id ? *id : "";
  }

  StoreUnderTest under_test_;
};

// Whole objects.

TEST_P(StoreConformance, WhatIsPutIsThereWhole) {
  const auto etag = put_new("app/wal/1", "hello");
  ASSERT_TRUE(etag) << etag.error().message();
  const auto object = store().get("app/wal/1");
  ASSERT_TRUE(object) << object.error().message();
  EXPECT_EQ(as_text(object->bytes), "hello");
  EXPECT_EQ(object->info.key, "app/wal/1");
  EXPECT_EQ(object->info.size_bytes, 5u);
  EXPECT_EQ(object->info.etag, *etag);
  const auto head = store().head("app/wal/1");
  ASSERT_TRUE(head);
  EXPECT_EQ(head->key, "app/wal/1");
  EXPECT_EQ(head->size_bytes, 5u);
  EXPECT_EQ(head->etag, *etag);
  EXPECT_EQ(head->modified_ms, object->info.modified_ms);
  const auto page = store().list("");
  ASSERT_TRUE(page);
  ASSERT_EQ(page->objects.size(), 1u);
  EXPECT_EQ(page->objects[0].key, "app/wal/1");
  EXPECT_EQ(page->objects[0].size_bytes, 5u);
  EXPECT_EQ(page->objects[0].etag, *etag);
  EXPECT_FALSE(page->more);
}

TEST_P(StoreConformance, PutNewNeverReplaces) {
  const auto etag = put_new("a", "first");
  ASSERT_TRUE(etag);
  EXPECT_EQ(outcome(put_new("a", "second")), "conflict");
  EXPECT_EQ(outcome(put_new("a", "first")), "conflict");
  EXPECT_EQ(text_of("a"), "first");
  EXPECT_EQ(store().head("a")->etag, *etag);
}

TEST_P(StoreConformance, PutBesideAnotherIsPutOnlyIfThatOneLiesThere) {
  const auto put_beside = [&](std::string_view key, const Beside& beside) {
    return store().put_new_beside(key, BytesSource(as_bytes(std::string_view("new"))), beside);
  };
  EXPECT_EQ(outcome(put_beside("app/2", {"app/1", "none"})), "not_found");
  const auto etag = put_new("app/1", "first");
  ASSERT_TRUE(etag);
  EXPECT_EQ(outcome(put_beside("app/2", {"app/1", *etag + "0"})), "not_found");
  EXPECT_EQ(outcome(put_beside("app/2", {"app/0", *etag})), "not_found");
  EXPECT_EQ(keys(), (std::vector<std::string>{"app/1"}));
  const auto second = put_beside("app/2", {"app/1", *etag});
  ASSERT_TRUE(second) << second.error().message();
  EXPECT_EQ(text_of("app/2"), "new");
  EXPECT_EQ(store().head("app/2")->etag, *second);
  EXPECT_EQ(outcome(put_beside("app/2", {"app/1", *etag})), "conflict");
  ASSERT_TRUE(store().remove("app/1"));
  EXPECT_EQ(outcome(put_beside("app/3", {"app/1", *etag})), "not_found");
  EXPECT_EQ(keys(), (std::vector<std::string>{"app/2"}));
}

TEST_P(StoreConformance, WhatIsNotThereIsNotFound) {
  put_all({"dir/object"});
  for (const char* key : {"none", "dir", "dir/none", "dir/object2", "dir/objec", "dir/object/below"}) {
    EXPECT_EQ(text_of(key), "error: not_found") << key;
    EXPECT_EQ(outcome(store().get_suffix(key, 1)), "not_found") << key;
    EXPECT_EQ(outcome(store().head(key)), "not_found") << key;
  }
}

TEST_P(StoreConformance, RemovedObjectsAreGoneAndMayBePutAgain) {
  put_all({"a/b", "a/c"});
  EXPECT_EQ(outcome(store().remove("a/b")), "ok");
  EXPECT_EQ(text_of("a/b"), "error: not_found");
  EXPECT_EQ(keys(), (std::vector<std::string>{"a/c"}));
  EXPECT_EQ(outcome(put_new("a/b", "again")), "ok");
  EXPECT_EQ(text_of("a/b"), "again");
}

TEST_P(StoreConformance, RemovingWhatIsNotThereSucceeds) {
  put_all({"dir/object"});
  for (const char* key : {"none", "dir", "none/below", "dir/object/below"})
    EXPECT_EQ(outcome(store().remove(key)), "ok") << key;
  EXPECT_EQ(text_of("dir/object"), "dir/object");
}

TEST_P(StoreConformance, ManyAreRemovedAtOnceWhetherTheyAreThereOrNot) {
  const std::vector<std::string> odd{"a b", "a+b", "<&>\"'", "\xc3\xa4/\xf0\x9f\x99\x82",
                                     " spaces ", "%2F", "tab\there", "line\nend"};
  put_all(odd);
  put_all({"keep"});
  std::vector<std::string> wanted = odd;
  wanted.emplace_back("none");
  const auto left = store().remove_many(wanted);
  ASSERT_TRUE(left) << left.error().message();
  EXPECT_TRUE(left->empty()) << left->front().key << ": " << left->front().error.message();
  for (const std::string& key : odd) EXPECT_EQ(text_of(key), "error: not_found") << key;
  EXPECT_EQ(text_of("keep"), "keep");
  EXPECT_TRUE(store().remove_many({})->empty());
}

TEST_P(StoreConformance, OfManyTheKeysThatBreakTheRulesAreToldAndTheOthersGo) {
  put_all({"a", "b"});
  const auto left = store().remove_many(std::vector<std::string>{"a", "../x", "b", ""});
  ASSERT_TRUE(left) << left.error().message();
  ASSERT_EQ(left->size(), 2u);
  EXPECT_EQ((*left)[0].key, "../x");
  EXPECT_EQ((*left)[1].key, "");
  for (const NotRemoved& one : *left) EXPECT_EQ(name_of(one.error.kind()), "invalid");
  EXPECT_TRUE(keys().empty());
}

TEST_P(StoreConformance, MoreThan1000AreRemovedAtOnce) {
  std::vector<std::string> some;
  for (int i = 0; i < 2500; ++i) some.push_back("many/" + std::to_string(i));
  put_all({some.front(), some[999], some[1000], some.back(), "many/kept"});
  const auto left = store().remove_many(some);
  ASSERT_TRUE(left) << left.error().message();
  EXPECT_TRUE(left->empty());
  EXPECT_EQ(keys(), (std::vector<std::string>{"many/kept"}));
}

TEST_P(StoreConformance, EmptyObjectIsAnObject) {
  ASSERT_TRUE(put_new("empty", ""));
  EXPECT_EQ(text_of("empty"), "");
  EXPECT_EQ(store().head("empty")->size_bytes, 0u);
  EXPECT_EQ(text_of(store().get("empty", 0, 10)), "");
  EXPECT_EQ(text_of(store().get_suffix("empty", 10)), "");
  EXPECT_EQ(outcome(store().get("empty", 1)), "invalid");
  EXPECT_EQ(outcome(put_new("empty", "x")), "conflict");
}

TEST_P(StoreConformance, EveryByteValueSurvives) {
  std::string all;
  for (int i = 0; i < 1024; ++i) all.push_back(static_cast<char>(i));
  ASSERT_TRUE(put_new("bytes", all));
  EXPECT_EQ(text_of("bytes"), all);
}

TEST_P(StoreConformance, LargeObjectIsStoredAndReadInRanges) {
  constexpr std::size_t kSize = 64 << 20;
  const std::string text = bytes_of(1, kSize);
  ASSERT_TRUE(put_new("large", text));
  EXPECT_EQ(store().head("large")->size_bytes, kSize);
  const auto object = store().get("large");
  ASSERT_TRUE(object);
  EXPECT_TRUE(as_text(object->bytes) == text);
  EXPECT_EQ(text_of(store().get("large", kSize / 2 + 1, 1000)), text.substr(kSize / 2 + 1, 1000));
}

// A body that cannot be read: the source's error comes back, and nothing is stored.
class FailingSource final : public Source {
 public:
  std::uint64_t size_bytes() const override { return 3 << 20; }
  Result<void> read_at(std::uint64_t offset, std::span<std::byte> into) const override {
    if (offset + into.size() == size_bytes()) return Error(ErrorKind::cancelled, "the source failed");
    std::fill(into.begin(), into.end(), std::byte{'x'});
    return {};
  }
};

TEST_P(StoreConformance, BodyThatFailsLeavesNothing) {
  EXPECT_EQ(outcome(store().put_new("a", FailingSource())), "cancelled");
  EXPECT_EQ(text_of("a"), "error: not_found");
  EXPECT_TRUE(keys().empty());
  ASSERT_TRUE(put_new("b", "old"));
  EXPECT_EQ(outcome(store().put_if("b", FailingSource(), store().head("b")->etag)), "cancelled");
  EXPECT_EQ(text_of("b"), "old");
}

TEST_P(StoreConformance, ObjectsHaveATime) {
  put_all({"a"});
  const auto first = store().head("a");
  put_all({"b"});
  EXPECT_GE(store().head("b")->modified_ms, first->modified_ms);
  EXPECT_EQ(store().head("a")->modified_ms, first->modified_ms);
}

// Ranges.

TEST_P(StoreConformance, RangesAreCutAtTheEnd) {
  ASSERT_TRUE(put_new("a", "0123456789"));
  EXPECT_EQ(text_of(store().get("a", 0, 4)), "0123");
  EXPECT_EQ(text_of(store().get("a", 4, 2)), "45");
  EXPECT_EQ(text_of(store().get("a", 4)), "456789");
  EXPECT_EQ(text_of(store().get("a", 9, 1)), "9");
  EXPECT_EQ(text_of(store().get("a", 9, 100)), "9");
  EXPECT_EQ(text_of(store().get("a", 0, 10)), "0123456789");
  EXPECT_EQ(text_of(store().get("a", 3, ~std::uint64_t{0})), "3456789");
  EXPECT_EQ(text_of(store().get("a", 3, 0)), "");
  const auto part = store().get("a", 4, 2);
  EXPECT_EQ(part->info.size_bytes, 10u);
  EXPECT_EQ(part->info.etag, store().head("a")->etag);
}

TEST_P(StoreConformance, RangePastTheEndIsInvalid) {
  ASSERT_TRUE(put_new("a", "0123456789"));
  for (const std::uint64_t offset : {10ull, 11ull, 1ull << 40, ~0ull}) {
    EXPECT_EQ(outcome(store().get("a", offset)), "invalid") << offset;
    EXPECT_EQ(outcome(store().get("a", offset, 1)), "invalid") << offset;
  }
}

// A range that is read in pieces: its text; or "error: not_found", ...
inline std::string read_text(Store& store, std::string_view key, std::uint64_t offset, std::uint64_t length) {
  std::string text;
  std::vector<ObjectInfo> seen;
  const auto read = store.read(key, offset, length, [&](const ObjectInfo& whole, ByteView piece) -> Result<void> {
    seen.push_back(whole);
    EXPECT_FALSE(piece.empty());
    text += as_text(piece);
    return {};
  });
  if (!read) return "error: " + std::string(name_of(read.error().kind()));
  seen.push_back(*read);
  const auto head = store.head(key);
  EXPECT_TRUE(std::ranges::all_of(seen, [&](const ObjectInfo& whole) {
    return whole.key == key && whole.etag == head->etag && whole.size_bytes == head->size_bytes;
  }));
  return text;
}

TEST_P(StoreConformance, RangeIsReadFromItsBeginningToItsEnd) {
  ASSERT_TRUE(put_new("a", "0123456789"));
  EXPECT_EQ(read_text(store(), "a", 0, 10), "0123456789");
  EXPECT_EQ(read_text(store(), "a", 4, 2), "45");
  EXPECT_EQ(read_text(store(), "a", 3, 100), "3456789");
  EXPECT_EQ(read_text(store(), "a", 3, ~std::uint64_t{0}), "3456789");
  EXPECT_EQ(read_text(store(), "a", 9, 1), "9");
  EXPECT_EQ(read_text(store(), "a", 3, 0), "");
  EXPECT_EQ(read_text(store(), "a", 10, 1), "error: invalid");
  EXPECT_EQ(read_text(store(), "a", ~std::uint64_t{0}, 1), "error: invalid");
  EXPECT_EQ(read_text(store(), "b", 0, 1), "error: not_found");
  ASSERT_TRUE(put_new("empty", ""));
  EXPECT_EQ(read_text(store(), "empty", 0, 10), "");
  constexpr std::size_t kSize = 20 << 20;
  const std::string text = bytes_of(1, kSize);
  ASSERT_TRUE(put_new("large", text));
  EXPECT_TRUE(read_text(store(), "large", 1, kSize) == text.substr(1));
}

TEST_P(StoreConformance, WhoReadsMayEndIt) {
  ASSERT_TRUE(put_new("a", bytes_of(1, 20 << 20)));
  for (const ErrorKind kind : {ErrorKind::io, ErrorKind::retry_later, ErrorKind::corrupt}) {
    int taken = 0;
    const auto read = store().read("a", 0, 20 << 20, [&](const ObjectInfo&, ByteView) -> Result<void> {
      ++taken;
      return Error(kind, "the reader's own");
    });
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().kind(), kind);
    EXPECT_EQ(read.error().message(), "the reader's own");
    EXPECT_EQ(taken, 1);
  }
}

TEST_P(StoreConformance, SuffixIsTheEndOrAll) {
  ASSERT_TRUE(put_new("a", "0123456789"));
  EXPECT_EQ(text_of(store().get_suffix("a", 1)), "9");
  EXPECT_EQ(text_of(store().get_suffix("a", 4)), "6789");
  EXPECT_EQ(text_of(store().get_suffix("a", 10)), "0123456789");
  EXPECT_EQ(text_of(store().get_suffix("a", ~std::uint64_t{0})), "0123456789");
  EXPECT_EQ(store().get_suffix("a", 4)->info.size_bytes, 10u);
  EXPECT_EQ(outcome(store().get_suffix("a", 0)), "invalid");
}

// Compare and swap.

TEST_P(StoreConformance, PutIfReplacesWhatIsKnownAndNothingElse) {
  if (!store().capabilities().compare_and_swap) GTEST_SKIP() << "this store cannot compare and swap";
  const auto first = put_new("a", "first");
  ASSERT_TRUE(first);
  const auto second = put_if("a", "secnd", *first);
  ASSERT_TRUE(second) << second.error().message();
  EXPECT_NE(*first, *second);
  EXPECT_EQ(text_of("a"), "secnd");
  EXPECT_EQ(store().head("a")->etag, *second);
  EXPECT_EQ(outcome(put_if("a", "third", *first)), "conflict");
  EXPECT_EQ(outcome(put_if("a", "third", "no such etag")), "conflict");
  EXPECT_EQ(outcome(put_if("a", "third", "")), "conflict");
  EXPECT_EQ(text_of("a"), "secnd");
}

TEST_P(StoreConformance, PutIfNeverMakesAnObject) {
  if (!store().capabilities().compare_and_swap) GTEST_SKIP() << "this store cannot compare and swap";
  EXPECT_EQ(outcome(put_if("a", "x", "etag")), "conflict");
  EXPECT_EQ(outcome(put_if("a/b/c", "x", "")), "conflict");
  const auto etag = put_new("b", "x");
  ASSERT_TRUE(store().remove("b"));
  EXPECT_EQ(outcome(put_if("b", "y", *etag)), "conflict");
  EXPECT_TRUE(keys().empty());
}

TEST_P(StoreConformance, EtagsOfOneKeyNeverComeBackHoweverFastItChanges) {
  if (!store().capabilities().compare_and_swap) GTEST_SKIP() << "this store cannot compare and swap";
  std::vector<std::string> etags{*put_new("a", "000")};
  for (int i = 1; i < 100; ++i) {
    const auto etag = put_if("a", std::to_string(100 + i), etags.back());
    ASSERT_TRUE(etag) << etag.error().message();
    etags.push_back(*etag);
  }
  std::sort(etags.begin(), etags.end());
  EXPECT_EQ(std::adjacent_find(etags.begin(), etags.end()), etags.end());
}

// Races. All threads set off at once.

inline void race(int threads, const std::function<void(int)>& run) {
  std::latch start(threads);
  std::vector<std::thread> running;
  for (int i = 0; i < threads; ++i) {
    running.emplace_back([&, i] {
      start.arrive_and_wait();
      run(i);
    });
  }
  for (std::thread& thread : running) thread.join();
}

TEST_P(StoreConformance, OfManyPutNewExactlyOneWins) {
  constexpr int kThreads = 16;
  for (int round = 0; round < 10; ++round) {
    const std::string key = "race/" + std::to_string(round);
    std::atomic<int> winners = 0, losers = 0, winner = -1;
    race(kThreads, [&](int i) {
      const auto put = put_new(key, bytes_of(static_cast<std::uint64_t>(i), 100000));
      if (put) {
        ++winners;
        winner = i;
      } else if (put.error().kind() == ErrorKind::conflict) {
        ++losers;
      }
    });
    EXPECT_EQ(winners, 1);
    EXPECT_EQ(losers, kThreads - 1);
    EXPECT_TRUE(text_of(key) == bytes_of(static_cast<std::uint64_t>(winner.load()), 100000));
  }
}

TEST_P(StoreConformance, OfManyPutIfExactlyOneWins) {
  if (!store().capabilities().compare_and_swap) GTEST_SKIP() << "this store cannot compare and swap";
  constexpr int kThreads = 16;
  std::string etag = *put_new("a", "start");
  for (int round = 0; round < 10; ++round) {
    std::atomic<int> winners = 0, losers = 0, winner = -1;
    std::vector<std::string> etags(kThreads);
    race(kThreads, [&](int i) {
      // Other bytes each round: an etag may come back with the bytes that it stood for.
      const auto put = put_if("a", std::to_string(round) + " from " + std::to_string(i), etag);
      if (put) {
        ++winners;
        winner = i;
        etags[static_cast<std::size_t>(i)] = *put;
      } else if (put.error().kind() == ErrorKind::conflict) {
        ++losers;
      }
    });
    ASSERT_EQ(winners, 1);
    EXPECT_EQ(losers, kThreads - 1);
    EXPECT_EQ(text_of("a"), std::to_string(round) + " from " + std::to_string(winner));
    etag = etags[static_cast<std::size_t>(winner.load())];
  }
}

TEST_P(StoreConformance, NoIncrementByCompareAndSwapIsLost) {
  if (!store().capabilities().compare_and_swap) GTEST_SKIP() << "this store cannot compare and swap";
  constexpr int kThreads = 4, kEach = 25;
  ASSERT_TRUE(put_new("count", "0"));
  race(kThreads, [&](int) {
    for (int done = 0; done < kEach;) {
      const auto now = store().get("count");
      if (!now) return;
      const int count = std::stoi(std::string(as_text(now->bytes)));
      if (put_if("count", std::to_string(count + 1), now->info.etag)) ++done;
    }
  });
  EXPECT_EQ(text_of("count"), std::to_string(kThreads * kEach));
}

TEST_P(StoreConformance, ReadersSeeOldOrNewButNeverAMixture) {
  if (!store().capabilities().compare_and_swap) GTEST_SKIP() << "this store cannot compare and swap";
  constexpr std::size_t kSize = 300000;
  ASSERT_TRUE(put_new("a", std::string(kSize, '0')));
  std::atomic<bool> done = false;
  std::atomic<int> torn = 0;
  race(4, [&](int i) {
    if (i == 0) {
      for (int n = 1; n < 40; ++n) {
        const std::string etag = store().head("a")->etag;
        if (!put_if("a", std::string(kSize + static_cast<std::size_t>(n), static_cast<char>('0' + n)), etag)) ++torn;
      }
      done = true;
    } else {
      while (!done) {
        const std::string text = text_of("a");
        if (text.size() < kSize || text.find_first_not_of(text[0]) != std::string::npos) ++torn;
      }
    }
  });
  EXPECT_EQ(torn, 0);
}

TEST_P(StoreConformance, ManyThreadsMakeManyObjects) {
  race(8, [&](int i) {
    for (int n = 0; n < 25; ++n) {
      const std::string key = "t" + std::to_string(n % 5) + "/" + std::to_string(i) + "-" + std::to_string(n);
      EXPECT_EQ(outcome(put_new(key, key)), "ok");
      EXPECT_EQ(text_of(key), key);
    }
  });
  EXPECT_EQ(keys().size(), 200u);
}

// Listing.

TEST_P(StoreConformance, ListingIsInTheOrderOfTheBytesOfWholeKeys) {
  const std::vector<std::string> names{"a b",
                                       "a%2Fb",
                                       "a+b",
                                       "a-b",
                                       "a-c/c",
                                       "a.b",
                                       "a/b",
                                       "a/b-c",
                                       "a0",
                                       "ab",
                                       "ac/c",
                                       "b/a/c",
                                       "b/a-/c",
                                       "b/a0",
                                       "c",
                                       "~",
                                       "\xc3\xa9t\xc3\xa9",
                                       "\xe6\x97\xa5",
                                       "A",
                                       "Z/1",
                                       "z&=?#",
                                       "quote'\"",
                                       "a\\b",
                                       "a*",
                                       "new\nline"};
  std::vector<std::string> sorted = names;
  std::sort(sorted.begin(), sorted.end());  // std::string compares bytes as unsigned
  put_all(names);
  EXPECT_EQ(keys(), sorted);
  for (const int limit : {1, 2, 3, 7, 1000}) EXPECT_EQ(keys("", "", limit), sorted) << limit;
  for (const std::string& name : names) EXPECT_EQ(text_of(name), name);
}

TEST_P(StoreConformance, PrefixMayEndAnywhere) {
  put_all({"a-b", "a/b", "a/bc/d", "a/c", "ab/c", "b"});
  using Keys = std::vector<std::string>;
  EXPECT_EQ(keys("a"), (Keys{"a-b", "a/b", "a/bc/d", "a/c", "ab/c"}));
  EXPECT_EQ(keys("a/"), (Keys{"a/b", "a/bc/d", "a/c"}));
  EXPECT_EQ(keys("a/b"), (Keys{"a/b", "a/bc/d"}));
  EXPECT_EQ(keys("a/bc/"), (Keys{"a/bc/d"}));
  EXPECT_EQ(keys("a/bc/d"), (Keys{"a/bc/d"}));
  EXPECT_EQ(keys("ab"), (Keys{"ab/c"}));
  EXPECT_EQ(keys("c"), Keys{});
  EXPECT_EQ(keys("a/b/"), Keys{});
  EXPECT_EQ(keys("a/bc/d/e"), Keys{});
  EXPECT_EQ(keys("none/at/all"), Keys{});
}

TEST_P(StoreConformance, EmptyStoreListsNothing) {
  const auto page = store().list("");
  ASSERT_TRUE(page) << page.error().message();
  EXPECT_TRUE(page->objects.empty());
  EXPECT_FALSE(page->more);
}

TEST_P(StoreConformance, StartAfterNeedNotBeAKey) {
  put_all({"a-b", "a/b", "a/c/d", "a/c/e", "a/d", "b"});
  using Keys = std::vector<std::string>;
  EXPECT_EQ(keys("", "a-b"), (Keys{"a/b", "a/c/d", "a/c/e", "a/d", "b"}));
  EXPECT_EQ(keys("", "a/"), (Keys{"a/b", "a/c/d", "a/c/e", "a/d", "b"}));
  EXPECT_EQ(keys("", "a/c"), (Keys{"a/c/d", "a/c/e", "a/d", "b"}));
  EXPECT_EQ(keys("", "a/c/d"), (Keys{"a/c/e", "a/d", "b"}));
  EXPECT_EQ(keys("", "a/c/dd"), (Keys{"a/c/e", "a/d", "b"}));
  EXPECT_EQ(keys("", "a/c/"), (Keys{"a/c/d", "a/c/e", "a/d", "b"}));
  EXPECT_EQ(keys("", "a/c0"), (Keys{"a/d", "b"}));
  EXPECT_EQ(keys("", "b"), Keys{});
  EXPECT_EQ(keys("a/", "a/c/d"), (Keys{"a/c/e", "a/d"}));
  EXPECT_EQ(keys("a/", "Z"), (Keys{"a/b", "a/c/d", "a/c/e", "a/d"}));
  EXPECT_EQ(keys("a/", "b"), Keys{});
  EXPECT_EQ(keys("a/", "zz"), Keys{});
}

TEST_P(StoreConformance, PagesSayWhetherThereIsMore) {
  put_all({"a", "b/1", "b/2", "c"});
  EXPECT_TRUE(store().list("", "", 3)->more);
  EXPECT_FALSE(store().list("", "", 4)->more);
  EXPECT_FALSE(store().list("", "", 5)->more);
  EXPECT_FALSE(store().list("b/", "", 2)->more);
  EXPECT_TRUE(store().list("b/", "", 1)->more);
  EXPECT_FALSE(store().list("b/", "b/1", 1)->more);
}

TEST_P(StoreConformance, RandomListingsEqualASortedSet) {
  SeededRandom random(42);
  const std::string letters = "ab-/0.";
  std::vector<std::string> names;
  for (int i = 0; i < 120; ++i) {
    // The last component is never a folder of another key, which a directory could not hold.
    std::string name = std::to_string(random.below(3));
    for (int n = static_cast<int>(random.below(5)); n > 0; --n) {
      const char c = letters[random.below(letters.size())];
      if (c == '/' || c == '.')
        name += name.back() == '/' ? "x" : "/";
      else
        name.push_back(c);
    }
    name += (name.back() == '/' ? "f" : "/f") + std::to_string(random.below(4)) + ".o";
    if (put_new(name, "x")) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  ASSERT_GT(names.size(), 30u);
  for (int i = 0; i < 200; ++i) {
    const std::string& some = names[random.below(names.size())];
    const std::string prefix = some.substr(0, random.below(some.size() + 1));
    std::string after = names[random.below(names.size())].substr(0, 1 + random.below(8));
    if (random.chance(1, 3)) after.clear();
    std::vector<std::string> expected;
    for (const std::string& name : names) {
      if (name.starts_with(prefix) && name > after) expected.push_back(name);
    }
    ASSERT_EQ(keys(prefix, after, static_cast<int>(random.below(9))), expected)
        << "prefix " << prefix << " after " << after;
  }
}

// Keys.

TEST_P(StoreConformance, KeysThatBreakTheRulesAreInvalidEverywhere) {
  std::string nul = "a";
  nul.push_back('\0');
  const std::vector<std::string> bad{"",
                                     "/",
                                     "/a",
                                     "a/",
                                     "a//b",
                                     ".",
                                     "..",
                                     "a/..",
                                     "../a",
                                     "a/./b",
                                     "a/../../b",
                                     "./a",
                                     nul,
                                     "\xff",
                                     "\xc0\xaf",
                                     "a/\xed\xa0\x80",
                                     ".cairn-tmp/x",
                                     "a/.cairn-uploads/b",
                                     std::string(1025, 'a'),
                                     std::string(256, 'a')};
  const BytesSource body(as_bytes("x"));
  for (const std::string& key : bad) {
    EXPECT_EQ(outcome(store().put_new(key, body)), "invalid") << key;
    EXPECT_EQ(outcome(store().put_if(key, body, "etag")), "invalid") << key;
    EXPECT_EQ(outcome(store().get(key)), "invalid") << key;
    EXPECT_EQ(outcome(store().get_suffix(key, 1)), "invalid") << key;
    EXPECT_EQ(outcome(store().head(key)), "invalid") << key;
    EXPECT_EQ(outcome(store().remove(key)), "invalid") << key;
    if (store().capabilities().multipart) {
      EXPECT_EQ(outcome(store().begin_upload(key)), "invalid") << key;
    }
  }
  for (const char* prefix : {"/", "../", "a/../", "a//", "./"}) {
    EXPECT_EQ(outcome(store().list(prefix)), "invalid") << prefix;
  }
  EXPECT_TRUE(keys().empty());
}

TEST_P(StoreConformance, LongestAndStrangestKeysWork) {
  std::string longest;
  while (longest.size() < 1024 - 200) longest += std::string(199, 'k') + "/";
  longest += std::string(1024 - longest.size(), 'e');
  const std::vector<std::string> good{longest, "...",   "a..", "..a",    ".hidden", " ",
                                      "-",     "a/...", "%00", "%2e%2e", "C:",      ".cairn"};
  put_all(good);
  for (const std::string& key : good) EXPECT_EQ(text_of(key), key);
  EXPECT_EQ(keys().size(), good.size());
}

// In a directory an object cannot lie below another one; that must be said, and harm neither.
TEST_P(StoreConformance, KeyBelowAKeyWorksOrIsUnsupported) {
  put_all({"a", "b/c"});
  for (const char* key : {"a/b", "a/b/c", "b"}) {
    const std::string put = outcome(put_new(key, key));
    EXPECT_TRUE(put == "ok" || put == "unsupported") << key << ": " << put;
    EXPECT_EQ(text_of(key), put == "ok" ? key : "error: not_found");
    if (!store().capabilities().multipart) continue;
    const std::string upload_key = std::string(key) + "/u";
    const std::string id = begin(upload_key);
    const std::string completed =
        outcome(store().complete_new(upload_key, id, std::vector{put_part(upload_key, id, 1, "x")}));
    EXPECT_TRUE(completed == "ok" || completed == "unsupported") << upload_key << ": " << completed;
  }
  EXPECT_EQ(text_of("a"), "a");
  EXPECT_EQ(text_of("b/c"), "b/c");
}

}  // namespace cairn
