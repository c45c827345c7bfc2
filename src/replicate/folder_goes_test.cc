// The folder that a replica lies in goes from under a replicator, at every moment that it can go at, and comes back:
// what is put meanwhile lands in the place that is left, and none of that may count.
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <limits>
#include <utility>

#include "restore/head.h"
#include "store/around.h"
#include "store/directory_store.h"
#include "support/stepped_replicator.h"

namespace cairn {
namespace {

using replicator_test::App;
using replicator_test::ReplicatorTest;

constexpr std::uint64_t kNever = std::numeric_limits<std::uint64_t>::max();

// A store in a folder that goes before one request, and is back before another.
class GoingStore final : public StoreAround<GoingStore> {
 public:
  GoingStore(std::unique_ptr<Store> inner, std::filesystem::path folder)
      : inner_(std::move(inner)), folder_(std::move(folder)), elsewhere_(folder_.string() + ".elsewhere") {}

  void go_before(std::uint64_t request, std::uint64_t requests_away) {
    requests_ = 0;
    goes_at_ = request;
    is_back_at_ = requests_away == kNever ? kNever : request + requests_away;
  }
  void come_back() {
    if (!std::filesystem::exists(elsewhere_)) return;
    std::filesystem::remove_all(folder_);
    std::filesystem::rename(elsewhere_, folder_);
  }
  std::uint64_t requests() const { return requests_; }

  Store& inner() const { return *inner_; }
  template <class Call>
  auto around(const StoreCall&, const Call& call) -> decltype(call()) {
    if (requests_ == goes_at_) std::filesystem::rename(folder_, elsewhere_);
    if (requests_ == is_back_at_) come_back();
    ++requests_;
    return call();
  }

 private:
  const std::unique_ptr<Store> inner_;
  const std::filesystem::path folder_, elsewhere_;
  std::uint64_t requests_ = 0, goes_at_ = kNever, is_back_at_ = kNever;
};

class FolderGoes : public ReplicatorTest {
 public:
  FolderGoes() {
    std::filesystem::create_directories(dir_ / "mount");
    auto inner = make_directory_store((dir_ / "mount").string(), StoreUse::publishing);
    EXPECT_TRUE(inner);
    auto going = std::make_unique<GoingStore>(std::move(*inner), dir_ / "mount");
    going_ = going.get();
    store_ = std::move(going);
  }

  // A commit and a snapshot, and what comes of them, however often the folder can go meanwhile.
  void goes_at_every_moment(std::uint64_t requests_away, std::uint64_t part_bytes = ReplicatorOptions().part_bytes) {
    make_database();
    auto with_parts = options();
    with_parts.part_bytes = part_bytes;
    start(with_parts);
    must_settle();
    App app(db_path_);
    std::uint64_t moments = 0;
    for (std::uint64_t at = 0; at < 200; ++at) {
      SCOPED_TRACE(at);
      const Sequence before(replicator_->status().published_sequence);
      app.must(fill(3));
      replicator_->request_snapshot();
      going_->go_before(at, requests_away);
      for (int i = 0; i < 50; ++i) {
        const auto error = turn();
        ASSERT_FALSE(error) << error->message();
      }
      const bool went = going_->requests() > at;
      going_->go_before(kNever, kNever);
      going_->come_back();
      now_.mono_us += 60'000'000;  // it had been told to wait
      expect_replica_is_current();
      EXPECT_GT(newest_snapshot(), before) << "the one that was asked for";
      ASSERT_FALSE(HasFailure());
      if (!went) break;
      ++moments;
    }
    EXPECT_GE(moments, 10u);
    EXPECT_LT(moments, 200u);
  }

  Sequence newest_snapshot() {
    const auto head = restore::read_head(*store_, "app");
    EXPECT_TRUE(head && head->has_snapshot);
    return head ? head->newest_snapshot : Sequence();
  }

  GoingStore* going_ = nullptr;
};

TEST_F(FolderGoes, AndIsBackLater) { goes_at_every_moment(kNever); }
TEST_F(FolderGoes, AndIsBackAtTheNextRequest) { goes_at_every_moment(1); }
TEST_F(FolderGoes, AndIsBackAtTheOneAfter) { goes_at_every_moment(2); }
TEST_F(FolderGoes, WhileTheSnapshotIsSentInParts) { goes_at_every_moment(kNever, 16 << 10); }
TEST_F(FolderGoes, ForAMomentWhileTheSnapshotIsSentInParts) { goes_at_every_moment(1, 16 << 10); }

}  // namespace
}  // namespace cairn
