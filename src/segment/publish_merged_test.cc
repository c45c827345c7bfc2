// A merged object goes into a replica once, whoever puts it, and whatever the store answers.

#include "segment/publish_merged.h"

#include <gmock/gmock.h>

#include "segment/keys.h"
#include "segment/merge.h"
#include "segment/test_history.h"
#include "store/around.h"
#include "store/faulty.h"

namespace cairn::segment {
namespace {

using namespace testing;
using ::testing::HasSubstr;

// Gives other bytes than it holds, a few times.
class GarblingStore final : public StoreAround<GarblingStore> {
 public:
  GarblingStore(Store& inner, int times) : inner_(inner), left_(times) {}
  Store& inner() const { return inner_; }
  template <class Call>
  auto around(const StoreCall& what, const Call& call) -> decltype(call()) {
    auto result = call();
    if constexpr (std::is_same_v<decltype(result), Result<Object>>) {
      if (result && what.operation == Operation::get && left_-- > 0) result->bytes.front() ^= std::byte{1};
    }
    return result;
  }

 private:
  Store& inner_;
  int left_;
};

class PublishMerged : public ::testing::Test {
 protected:
  PublishMerged() : history_(random_history(512, 7, 6)) {}

  Result<PublishedMerge> publish(Store& store, const Bytes& object) {
    const BytesSource source(object);
    const auto reader = ObjectReader::open(source, "ours");
    EXPECT_TRUE(reader) << reader.error().message();
    return publish_merged(store, "r", 1, (*reader)->footer(), source);
  }
  void put(const Bytes& object, int level = 1) {
    ASSERT_TRUE(store_->put_new(merged_key("r", level, Sequence(1), Sequence(6)), BytesSource(object)));
  }
  Bytes there() { return store_->get(merged_key("r", 1, Sequence(1), Sequence(6)))->bytes; }

  History history_;
  std::unique_ptr<Store> store_ = make_memory_store();
};

TEST_F(PublishMerged, ItIsPutOnceAndFoundAgain) {
  const Bytes bundle = history_.bundle(0, 6);
  const auto first = publish(*store_, bundle);
  ASSERT_TRUE(first) << first.error().message();
  EXPECT_EQ(first->outcome, Outcome::put);
  EXPECT_EQ(first->key, merged_key("r", 1, Sequence(1), Sequence(6)));
  EXPECT_EQ(first->size_bytes, bundle.size());
  EXPECT_EQ(first->footer.points.size(), 6u);
  const auto second = publish(*store_, bundle);
  ASSERT_TRUE(second) << second.error().message();
  EXPECT_EQ(second->outcome, Outcome::there);
  EXPECT_TRUE(there() == bundle);
}

TEST_F(PublishMerged, WhateverTheStoreAnswersItIsThereWholeOrNotAtAll) {
  const Bytes bundle = history_.bundle(0, 6);
  std::uint64_t done = 0, injected = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    store_ = make_memory_store();
    FaultPlan plan;
    plan.of(Operation::put_new) = {100, 300, 300, 0};
    plan.flipped = 300;
    SeededRandom random(seed);
    const auto faulty = make_faulty_store(*store_, plan, random);
    const auto published = publish(*faulty, bundle);
    injected += plan.injected;
    if (!published) {
      EXPECT_EQ(name_of(published.error().kind()), name_of(ErrorKind::retry_later)) << published.error().message();
      plan = {};
      ASSERT_TRUE(publish(*faulty, bundle));
    }
    EXPECT_TRUE(there() == bundle);
    done += published.has_value();
  }
  EXPECT_GT(injected, 100u);
  EXPECT_GT(done, 100u);
}

TEST_F(PublishMerged, AnotherFormOfTheSameStatesIsTakenAndSaidToHaveFewerPoints) {
  const Bytes squashed = history_.squash(0, 6);
  put(squashed);
  const auto published = publish(*store_, history_.bundle(0, 6));
  ASSERT_TRUE(published) << published.error().message();
  EXPECT_EQ(published->outcome, Outcome::other_form);
  EXPECT_EQ(published->footer.points.size(), 1u);
  EXPECT_EQ(published->size_bytes, squashed.size());
  EXPECT_TRUE(there() == squashed);
}

TEST_F(PublishMerged, ADifferenceThatIsNotThereEveryTimeIsNone) {
  const Bytes bundle = history_.bundle(0, 6);
  put(bundle);
  GarblingStore garbling(*store_, 3);
  const auto published = publish(garbling, bundle);
  ASSERT_TRUE(published) << published.error().message();
  EXPECT_EQ(published->outcome, Outcome::there);
}

TEST_F(PublishMerged, AnotherHistoryAndAnotherStateAreRefusedAndDamageIsNamed) {
  const Bytes bundle = history_.bundle(0, 6);
  Bytes other_states = random_history(512, 8, 6).bundle(0, 6);
  Bytes damaged = bundle;
  damaged[damaged.size() - 60] ^= std::byte{4};
  for (const auto& [object, kind, says] : {std::tuple(&other_states, ErrorKind::conflict, "another state"),
                                           std::tuple(&damaged, ErrorKind::corrupt, "is damaged")}) {
    store_ = make_memory_store();
    put(*object);
    const auto published = publish(*store_, bundle);
    ASSERT_FALSE(published);
    EXPECT_EQ(name_of(published.error().kind()), name_of(kind));
    EXPECT_THAT(published.error().message(), HasSubstr(says));
    EXPECT_THAT(published.error().message(), HasSubstr(merged_key("r", 1, Sequence(1), Sequence(6))));
    EXPECT_TRUE(there() == *object) << "it was replaced";
  }
}

}  // namespace
}  // namespace cairn::segment
