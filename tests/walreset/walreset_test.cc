// The WAL-reset bug of SQLite 3.7.0 to 3.51.2: that it is real on this machine's library, and what keeps it away.
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

#include "interleaving.h"
#include "wal/wal.h"

namespace cairn::walreset {
namespace {

class WalReset : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "cairn-walreset-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string path() const { return folder_ / "database"; }

  std::filesystem::path folder_;
};

bool library_is_vulnerable() { return wal::has_wal_reset_bug(static_cast<std::uint32_t>(sqlite3_libversion_number())); }

TEST_F(WalReset, WithoutAHoldAVulnerableLibraryLosesCommitsAndASoundOneDoesNot) {
  const Outcome outcome = run_interleaving(path(), {});
  ASSERT_EQ(outcome.windows, kRounds);
  ASSERT_EQ(outcome.committed, kRounds * kUpdates);
  if (library_is_vulnerable()) {
    EXPECT_GT(outcome.restarts_in_window, 0);
    EXPECT_GT(outcome.lost, 0);
    EXPECT_EQ(outcome.integrity, "ok");  // nothing tells
  } else {
    EXPECT_EQ(outcome.lost, 0);
  }
  RecordProperty("sqlite", sqlite3_libversion());
  RecordProperty("lost", outcome.lost);
}

// A read transaction that is replaced by a newer one: what Cairn's holds are made of, without Cairn.
class Hold {
 public:
  explicit Hold(const std::string& path) : first_(path), second_(path) {}
  void take() {
    Connection& next = *next_;
    next.run("BEGIN; SELECT count(*) FROM t");
    if (held_ != nullptr) held_->run("COMMIT");
    next_ = held_ != nullptr ? held_ : &second_;
    held_ = &next;
  }
  void end() {
    if (held_ != nullptr) held_->run("COMMIT");
    held_ = nullptr;
    next_ = &first_;
  }

 private:
  Connection first_;
  Connection second_;
  Connection* held_ = nullptr;
  Connection* next_ = &first_;
};

TEST_F(WalReset, UnderAFloorTheSameRestartsAreHarmless) {
  std::unique_ptr<Hold> hold;
  Hooks hooks;
  hooks.begin = [&] { hold = std::make_unique<Hold>(path()); };
  hooks.before_window = [&] { hold->take(); };  // all is backfilled: the read mark is 0
  hooks.after_window = [&] { hold->end(); };
  hooks.end = [&] { hold.reset(); };
  const Outcome outcome = run_interleaving(path(), hooks);
  EXPECT_EQ(outcome.windows, kRounds);
  EXPECT_EQ(outcome.restarts_in_window, kRounds);
  EXPECT_EQ(outcome.lost, 0);
  EXPECT_EQ(outcome.integrity, "ok");
}

TEST_F(WalReset, UnderAPinNothingRestarts) {
  std::unique_ptr<Hold> hold;
  Hooks hooks;
  hooks.begin = [&] {
    hold = std::make_unique<Hold>(path());
    hold->take();
  };
  hooks.after_commit = [&] { hold->take(); };  // the newest commit, not backfilled: one of the read marks 1 to 4
  hooks.end = [&] { hold.reset(); };
  const Outcome outcome = run_interleaving(path(), hooks);
  EXPECT_EQ(outcome.windows, kRounds);
  EXPECT_EQ(outcome.restarts_in_window, 0);
  EXPECT_EQ(outcome.lost, 0);
  EXPECT_EQ(outcome.integrity, "ok");
}

}  // namespace
}  // namespace cairn::walreset
