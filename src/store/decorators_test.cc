// The counting and the faulty store, and the memory store's clock.
#include <gtest/gtest.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "store/counting.h"
#include "store/faulty.h"
#include "store/memory_store.h"

namespace cairn {
namespace {

Result<std::string> put_new(Store& store, std::string_view key, std::string_view text = "text") {
  return store.put_new(key, BytesSource(as_bytes(text)));
}

TEST(CountingStore, CountsCallsErrorsAndBytesByOperation) {
  const auto inner = make_memory_store();
  CountingStore counting(*inner);
  Store& store = counting;
  ASSERT_TRUE(put_new(store, "a", "12345"));
  EXPECT_FALSE(put_new(store, "a", "123"));
  EXPECT_TRUE(store.get("a"));
  EXPECT_TRUE(store.get("a", 1, 2));
  EXPECT_FALSE(store.get("b"));
  EXPECT_TRUE(store.get_suffix("a", 1));
  EXPECT_TRUE(store.list(""));
  const std::string id = *store.begin_upload("c");
  ASSERT_TRUE(store.put_part("c", id, 1, BytesSource(as_bytes("1234567"))));
  EXPECT_TRUE(store.remove_many(std::vector<std::string>{"x", "y"}));

  const StoreCounts counts = counting.counts();
  EXPECT_EQ(counts.of(Operation::put_new).calls, 2u);
  EXPECT_EQ(counts.of(Operation::put_new).errors, 1u);
  EXPECT_EQ(counts.of(Operation::put_new).sent_bytes, 8u);
  EXPECT_EQ(counts.of(Operation::get).calls, 3u);
  EXPECT_EQ(counts.of(Operation::get).errors, 1u);
  EXPECT_EQ(counts.of(Operation::get).received_bytes, 7u);
  EXPECT_EQ(counts.of(Operation::get_suffix).received_bytes, 1u);
  EXPECT_EQ(counts.of(Operation::put_part).sent_bytes, 7u);
  EXPECT_EQ(counts.of(Operation::remove).calls, 0u);
  EXPECT_EQ(counts.of(Operation::remove_many).calls, 1u);
  EXPECT_EQ(counts.total().calls, 10u);
  EXPECT_EQ(counts.total().sent_bytes, 15u);
  counting.reset();
  EXPECT_EQ(counting.counts().total().calls, 0u);
}

TEST(Operation, NamesAreThoseOfTheCalls) {
  EXPECT_EQ(name_of(Operation::put_new), "put_new");
  EXPECT_EQ(name_of(Operation::list_uploads), "list_uploads");
  EXPECT_EQ(static_cast<std::size_t>(Operation::list_uploads) + 1, kOperationCount);
}

class FaultyStoreTest : public ::testing::Test {
 protected:
  bool is_there(std::string_view key) { return inner_->head(key).has_value(); }

  std::unique_ptr<Store> inner_ = make_memory_store();
  FaultPlan plan_;
  SeededRandom random_{5};
  std::unique_ptr<Store> store_ = make_faulty_store(*inner_, plan_, random_);
};

TEST_F(FaultyStoreTest, FaultBeforeTheEffectHasNone) {
  plan_.of(Operation::put_new).before = 1000;
  EXPECT_EQ(put_new(*store_, "a").error().kind(), ErrorKind::retry_later);
  EXPECT_FALSE(is_there("a"));
  EXPECT_EQ(plan_.injected, 1u);
}

TEST_F(FaultyStoreTest, FaultAfterTheEffectLeavesIt) {
  plan_.of(Operation::put_new).after = 1000;
  EXPECT_EQ(put_new(*store_, "a").error().kind(), ErrorKind::maybe_done);
  EXPECT_TRUE(is_there("a"));
  EXPECT_EQ(put_new(*store_, "a").error().kind(), ErrorKind::conflict)
      << "a failure of the store's own is told as it is";
}

TEST_F(FaultyStoreTest, OfManySomeStayAndAreNamed) {
  std::vector<std::string> keys;
  for (int i = 0; i < 40; ++i) keys.push_back("k" + std::to_string(i));
  for (const std::string& key : keys) ASSERT_TRUE(put_new(*inner_, key));
  plan_.of(Operation::remove_many).before = 300;
  auto left = store_->remove_many(keys);
  while (!left) left = store_->remove_many(keys);
  EXPECT_GT(left->size(), 0u);
  EXPECT_LT(left->size(), keys.size());
  for (const std::string& key : keys) {
    const bool named = std::any_of(left->begin(), left->end(), [&](const NotRemoved& one) { return one.key == key; });
    EXPECT_EQ(is_there(key), named) << key;
  }
}

TEST_F(FaultyStoreTest, LostRequestLooksLikeALostAnswer) {
  plan_.of(Operation::put_new).lost = 1000;
  EXPECT_EQ(put_new(*store_, "a").error().kind(), ErrorKind::maybe_done);
  EXPECT_FALSE(is_there("a"));
}

TEST_F(FaultyStoreTest, DeniedHasNoEffect) {
  plan_.of(Operation::remove).denied = 1000;
  ASSERT_TRUE(put_new(*store_, "a"));
  EXPECT_EQ(store_->remove("a").error().kind(), ErrorKind::denied);
  EXPECT_TRUE(is_there("a"));
}

TEST_F(FaultyStoreTest, ReadsNeverAnswerMaybeDoneNorNotFound) {
  ASSERT_TRUE(put_new(*store_, "a"));
  FaultRates rates;
  rates.before = 300;
  rates.after = 300;
  rates.lost = 400;
  plan_.set_all(rates);
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(store_->get("a").error().kind(), ErrorKind::retry_later);
    EXPECT_EQ(store_->list("").error().kind(), ErrorKind::retry_later);
    EXPECT_EQ(store_->list_uploads("").error().kind(), ErrorKind::retry_later);
  }
}

TEST_F(FaultyStoreTest, GetsAreCutShortOrHaveOneBitFlipped) {
  const std::string text(1000, 'x');
  ASSERT_TRUE(put_new(*store_, "a", text));
  plan_.truncated = 500;
  plan_.flipped = 500;
  int cut = 0, flipped = 0;
  for (int i = 0; i < 200; ++i) {
    const auto object = store_->get("a");
    ASSERT_TRUE(object);
    if (object->bytes.size() < text.size()) {
      ++cut;
      continue;
    }
    int bits = 0;
    for (std::size_t k = 0; k < text.size(); ++k) {
      bits += __builtin_popcount(std::to_integer<unsigned>(object->bytes[k]) ^ static_cast<unsigned>('x'));
    }
    EXPECT_EQ(bits, 1);
    ++flipped;
  }
  EXPECT_GT(cut, 50);
  EXPECT_GT(flipped, 50);
  EXPECT_EQ(plan_.injected, 200u);
  plan_.truncated = plan_.flipped = 0;
  EXPECT_EQ(store_->get("a")->bytes.size(), text.size());
}

TEST_F(FaultyStoreTest, YoungObjectsAreHiddenFromListings) {
  plan_.hidden_calls = 3;
  ASSERT_TRUE(put_new(*store_, "a"));
  EXPECT_TRUE(store_->list("")->objects.empty());
  EXPECT_TRUE(store_->get("a")) << "only listings are late";
  EXPECT_EQ(store_->list("")->objects.size(), 1u);
}

TEST_F(FaultyStoreTest, PageOfHiddenObjectsIsPassedOver) {
  ASSERT_TRUE(put_new(*store_, "z"));
  plan_.page_limit = 1;
  plan_.hidden_calls = 100;
  for (const char* key : {"a", "b", "c"}) ASSERT_TRUE(put_new(*store_, key));
  plan_.hidden_calls = 4;  // "z" is older
  const auto page = store_->list("");
  ASSERT_TRUE(page);
  ASSERT_EQ(page->objects.size(), 1u);
  EXPECT_EQ(page->objects[0].key, "z");
  EXPECT_FALSE(page->more);
}

TEST_F(FaultyStoreTest, PagesAreAsSmallAsThePlanSays) {
  for (const char* key : {"a", "b", "c"}) ASSERT_TRUE(put_new(*store_, key));
  plan_.page_limit = 1;
  EXPECT_EQ(store_->list("")->objects.size(), 1u);
  EXPECT_TRUE(store_->list("")->more);
  EXPECT_EQ(store_->list("", "a", 1000)->objects[0].key, "b");
  EXPECT_FALSE(store_->list("", "b")->more);
}

TEST(FaultyStore, OneSeedFailsInOneWay) {
  const auto run = [](std::uint64_t seed) {
    const auto inner = make_memory_store();
    FaultPlan plan;
    plan.set_all(FaultRates{100, 100, 100, 100});
    SeededRandom random(seed);
    const auto store = make_faulty_store(*inner, plan, random);
    std::string outcomes;
    for (int i = 0; i < 200; ++i) {
      const auto put = put_new(*store, std::to_string(i));
      outcomes += put ? "ok " : std::string(name_of(put.error().kind())) + " ";
    }
    return outcomes;
  };
  EXPECT_EQ(run(1), run(1));
  EXPECT_NE(run(1), run(2));
}

TEST(MemoryStore, TakesTheTimeFromTheClockItIsGiven) {
  class FixedClock final : public Clock {
   public:
    Time now() override { return Time{now_ms, 0}; }
    std::int64_t now_ms = 1000;
  };
  FixedClock clock;
  const auto store = make_memory_store(clock);
  ASSERT_TRUE(put_new(*store, "a"));
  clock.now_ms = 2000;
  ASSERT_TRUE(put_new(*store, "b"));
  EXPECT_EQ(store->head("a")->modified_ms, 1000);
  EXPECT_EQ(store->head("b")->modified_ms, 2000);
  ASSERT_TRUE(store->begin_upload("c"));
  EXPECT_EQ(store->list_uploads("")->front().begun_ms, 2000);
}

}  // namespace
}  // namespace cairn
