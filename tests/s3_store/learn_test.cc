// What a store learns of a server before it writes there, against servers of the twin that differ.
#include <gmock/gmock.h>

#include "base/bytes.h"
#include "twin_store.h"

namespace cairn::s3 {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TwinStoreOptions on(const char* dialect, const std::string& url_options = {}) {
  TwinStoreOptions options;
  options.twin.dialect = *twin::dialect_named(dialect);
  options.url_options = url_options;
  return options;
}

TEST(LearningFromAServer, TheFirstTimeEverLeavesTheProbeObjectAndNothingElse) {
  TwinStore store(on("aws"));
  ASSERT_TRUE(store.requests->ready_to_write());
  EXPECT_EQ(store.requests->dialect().put_new, Condition::honoured);
  EXPECT_THAT(store.twin.keys_of("bucket"), ElementsAre(".cairn-probe"));
}

// Swift 2.38: a trial after the other looks well. What would make the next process believe it is taken away.
TEST(LearningFromAServer, ConditionsThatSeveralAtOncePassAreNoConditions) {
  TwinStore store(on("swift238"));
  const auto ready = store.requests->ready_to_write();
  ASSERT_FALSE(ready);
  EXPECT_EQ(ready.error().kind(), ErrorKind::unsupported);
  EXPECT_THAT(ready.error().message(), HasSubstr("at the same moment"));
  EXPECT_THAT(ready.error().message(), HasSubstr("accept_single_writer=true"));
  EXPECT_FALSE(store.store->capabilities().create_only);
  EXPECT_THAT(store.twin.keys_of("bucket"), IsEmpty());
}

TEST(LearningFromAServer, ASingleWriterStillHasTheConditionsForItself) {
  TwinStore store(on("swift238", "?accept_single_writer=true"));
  const BytesSource body(as_bytes("text"));
  ASSERT_TRUE(store.store->put_new("key", body));
  const auto again = store.store->put_new("key", body);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().kind(), ErrorKind::conflict);
}

}  // namespace
}  // namespace cairn::s3
