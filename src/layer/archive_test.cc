#include "layer/archive.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "layer/tar.h"
#include "layer/test_upper.h"

namespace cairn::layer {
namespace {

using testing::TestUpper;

constexpr std::size_t kMiB = 1u << 20;

// The real tree, but something happens whenever a name is read.
class TouchedTree final : public Tree {
 public:
  using Touch = std::function<void(const std::string& path, std::uint64_t offset)>;
  TouchedTree(Tree& inner, Touch touch) : inner_(inner), touch_(std::move(touch)) {}

  const std::string& root() const override { return inner_.root(); }
  const Layers& layers() const override { return inner_.layers(); }
  bool reads_databases() const override { return inner_.reads_databases(); }
  Result<std::unique_ptr<OpenEntry>> open_entry(const PlanRow& row, int attempt) override {
    attempts.push_back(attempt);
    CAIRN_ASSIGN(auto open, inner_.open_entry(row, attempt));
    if (!open) return open;
    return std::unique_ptr<OpenEntry>(std::make_unique<Touched>(std::move(open), row.path, touch_, frozen));
  }

  std::optional<Stamp> frozen;  // what every name is said to have
  std::vector<int> attempts;    // of the names that were opened

 private:
  class Touched final : public OpenEntry {
   public:
    Touched(std::unique_ptr<OpenEntry> inner, std::string path, const Touch& touch, const std::optional<Stamp>& frozen)
        : inner_(std::move(inner)), path_(std::move(path)), touch_(touch), stamp_(frozen.value_or(inner_->stamp())) {}
    const Entry& entry() const override { return inner_->entry(); }
    bool has_contents() const override { return inner_->has_contents(); }
    const std::string& name() const override { return inner_->name(); }
    Result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> into) override {
      touch_(path_, offset);
      return inner_->read_at(offset, into);
    }
    Result<bool> stands_still() override { return inner_->stands_still(); }
    const Stamp& stamp() const override { return stamp_; }
    const std::optional<Stamp>& wal_stamp() const override { return inner_->wal_stamp(); }
    std::int64_t looked_at_ms() const override { return inner_->looked_at_ms(); }
    bool is_shared() const override { return inner_->is_shared(); }
    const OverlayMarks& marks() const override { return inner_->marks(); }

   private:
    std::unique_ptr<OpenEntry> inner_;
    const std::string path_;
    const Touch& touch_;
    const Stamp stamp_;
  };
  Tree& inner_;
  const Touch touch_;
};

struct Archive : ::testing::Test {
  TestUpper upper;
  std::vector<std::string> notices;
  std::vector<int> attempts;

  static std::string noise(std::size_t size_bytes) { return SeededRandom(size_bytes).bytes(size_bytes); }

  // Everything from a position on. Unsteady files are read again.
  std::vector<Piece> pieces(const ArchivePosition& from = {}, TouchedTree::Touch touch = {}) {
    auto tree = Tree::open(upper.root(), upper.options, upper.clock);
    EXPECT_TRUE(tree);
    TouchedTree touched(**tree, touch ? std::move(touch) : [](const std::string&, std::uint64_t) {});
    auto plan = Plan::load(*upper.catalogue);
    EXPECT_TRUE(plan && *plan);
    ArchiveReader reader(touched, **plan, [this](const std::string& text) { notices.push_back(text); });
    EXPECT_TRUE(*reader.start(from));
    std::vector<Piece> all;
    for (;;) {
      auto piece = reader.next();
      EXPECT_TRUE(piece) << piece.error().message();
      attempts = touched.attempts;
      if (!piece || !*piece) return all;
      if ((*piece)->unsteady) {
        reader.read_again();
        while (!all.back().begins_file) all.pop_back();
        all.pop_back();
      } else {
        all.push_back(std::move(**piece));
      }
    }
  }
  static std::string tar_of(const std::vector<Piece>& pieces) {
    std::string tar;
    for (const Piece& piece : pieces) tar += as_text(*piece.raw);
    return tar;
  }
  static const FinishedEntry* find(const std::vector<Piece>& pieces, const std::string& path) {
    for (const Piece& piece : pieces) {
      for (const FinishedEntry& entry : piece.finished) {
        if (parse_tar_header(entry.header)->value().entry.path == path) return &entry;
      }
    }
    return nullptr;
  }
  // Of a file, as it lies in the tar behind its header.
  static std::string contents_in(const std::vector<Piece>& pieces, const std::string& path) {
    const FinishedEntry* entry = find(pieces, path);
    if (entry == nullptr) return "(left out)";
    const std::string tar = tar_of(pieces);
    const std::size_t at = tar.find(as_text(entry->header));
    return tar.substr(at + entry->header.size(), parse_tar_header(entry->header)->value().entry.size_bytes);
  }
  void write_all_kinds() {
    upper.mkdir("a");
    for (int i = 0; i < 30; ++i) upper.write("a/" + std::to_string(i), noise(100'000 + static_cast<unsigned>(i)));
    upper.write("big-1", noise(2 * kMiB));
    upper.write("big-2", noise(3 * kMiB + 700));
    upper.write("c", "small");
    upper.write("d", noise(2 * kMiB - 1));
    upper.write("e", "");
    EXPECT_TRUE(upper.scan(ScanGoal::full));
  }
};

TEST_F(Archive, BlocksOfBigFilesArePiecesOfTheirOwn) {
  write_all_kinds();
  const auto all = pieces();
  std::map<std::string, std::vector<std::size_t>> blocks;
  for (const Piece& piece : all) {
    EXPECT_LT(piece.raw->size(), 4 * kMiB);
    if (!piece.file) continue;
    EXPECT_EQ(piece.block, blocks[piece.file->path].size());
    blocks[piece.file->path].push_back(piece.raw->size());
  }
  EXPECT_EQ(blocks["big-1"], (std::vector<std::size_t>{kMiB, kMiB}));
  EXPECT_EQ(blocks["big-2"], (std::vector<std::size_t>{kMiB, kMiB, kMiB, 700}));
  EXPECT_EQ(blocks.size(), 2u);
  const std::string tar = tar_of(all);
  EXPECT_EQ(tar.size() % kTarBlockBytes, 0u);
  EXPECT_EQ(tar.substr(tar.size() - kTarEndBytes), std::string(kTarEndBytes, '\0'));
  EXPECT_EQ(contents_in(all, "d"), noise(2 * kMiB - 1));
}

// From behind each piece the rest is, byte for byte, what it was in one go.
TEST_F(Archive, GoesOnBehindEveryPiece) {
  write_all_kinds();
  const auto whole = pieces();
  ASSERT_GT(whole.size(), 10u);
  for (std::size_t done = 0; done < whole.size(); ++done) {
    const auto rest = pieces(whole[done].after);
    ASSERT_EQ(rest.size(), whole.size() - done - 1) << done;
    for (std::size_t i = 0; i < rest.size(); ++i) {
      const Piece& before = whole[done + 1 + i];
      ASSERT_EQ(*rest[i].raw, *before.raw) << done << " " << i;
      EXPECT_EQ(rest[i].after.tar_bytes, before.after.tar_bytes);
      ASSERT_EQ(rest[i].finished.size(), before.finished.size());
      for (std::size_t k = 0; k < before.finished.size(); ++k)
        EXPECT_EQ(rest[i].finished[k].content_hash, before.finished[k].content_hash) << done << " " << i;
    }
  }
}

// A file that had just changed as it was read has changed once more, and its stamp is the same: times are coarse.
TEST_F(Archive, GoesOnInAFileOnlyIfItBeginsAsBefore) {
  for (const bool is_young : {true, false}) {
    upper.clock.ahead_ms = is_young ? 0 : 10'000;
    upper.write("big", noise(3 * kMiB));
    ASSERT_TRUE(upper.scan(ScanGoal::full));
    const auto position = [&] {
      for (const Piece& piece : pieces()) {
        if (piece.file && piece.block == 1) return piece.after;
      }
      return ArchivePosition();
    }();
    ASSERT_TRUE(position.inside);
    auto tree = Tree::open(upper.root(), upper.options, upper.clock);
    const auto plan = Plan::load(*upper.catalogue);
    const TouchedTree::Touch touch = [](const std::string&, std::uint64_t) {};
    TouchedTree frozen(**tree, touch);
    frozen.frozen = position.inside->stamp;
    const auto goes_on = [&] { return *ArchiveReader(frozen, **plan, {}).start(position); };
    EXPECT_TRUE(goes_on());
    struct stat before {};
    ASSERT_EQ(::stat((upper / "big").c_str(), &before), 0);
    std::fstream(upper / "big", std::ios::in | std::ios::out | std::ios::binary) << "other";
    const timespec times[2] = {before.st_mtim, before.st_mtim};
    ASSERT_EQ(::utimensat(AT_FDCWD, (upper / "big").c_str(), times, 0), 0);
    EXPECT_EQ(goes_on(), !is_young);  // an old stamp is believed: nothing is read again
  }
}

TEST_F(Archive, SmallFileThatChangesOnceIsReadAgain) {
  upper.write("file", "first");
  ASSERT_TRUE(upper.scan(ScanGoal::full));
  bool changed = false;
  const auto all = pieces({}, [&](const std::string& path, std::uint64_t) {
    if (path == "file" && !std::exchange(changed, true)) upper.write("file", "second, and longer");
  });
  EXPECT_EQ(contents_in(all, "file"), "second, and longer");
  EXPECT_EQ(find(all, "file")->contents, Contents::whole);
  EXPECT_TRUE(notices.empty());
}

TEST_F(Archive, SmallFileThatNeverStandsStillIsTorn) {
  upper.write("file", "first");
  upper.write("other", "stands still");
  ASSERT_TRUE(upper.scan(ScanGoal::full));
  int times = 0;
  const auto all = pieces({}, [&](const std::string& path, std::uint64_t) {
    if (path == "file") upper.write("file", "the same length " + std::to_string(++times % 10));
  });
  EXPECT_EQ(times, kReadAttempts);
  EXPECT_EQ(attempts, (std::vector<int>{1, 1, 2, 3, 4, 1}));  // the root is opened first
  EXPECT_EQ(find(all, "file")->contents, Contents::torn);
  EXPECT_EQ(find(all, "other")->contents, Contents::whole);
  EXPECT_EQ(all.back().after.torn_files, 1u);
  ASSERT_EQ(notices.size(), 1u);
  EXPECT_NE(notices[0].find("file"), std::string::npos);
}

// Its header says how long it is; what is missing of that is zeros.
TEST_F(Archive, SmallFileThatKeepsShrinkingIsFilledUp) {
  upper.write("file", std::string(5000, 'x'));
  ASSERT_TRUE(upper.scan(ScanGoal::full));
  std::uintmax_t size = 5000;
  const auto all = pieces({}, [&](const std::string& path, std::uint64_t offset) {
    if (path == "file" && offset == 0) std::filesystem::resize_file(upper / "file", size -= 1000);
  });
  EXPECT_EQ(find(all, "file")->contents, Contents::torn);
  EXPECT_EQ(contents_in(all, "file"), std::string(1000, 'x') + std::string(1000, '\0'));
}

TEST_F(Archive, WhatVanishesIsLeftOut) {
  upper.mkdir("dir");
  upper.write("dir/file", "x");
  upper.write("stays", "y");
  ASSERT_TRUE(upper.scan(ScanGoal::full));
  std::filesystem::remove_all(upper / "dir");
  const auto all = pieces();
  EXPECT_EQ(find(all, "dir"), nullptr);
  EXPECT_EQ(find(all, "dir/file"), nullptr);
  EXPECT_EQ(contents_in(all, "stays"), "y");
}

// Between two looks at it a small file has become a big one.
TEST_F(Archive, FileThatGrowsIntoABigOneIsReadAsOne) {
  upper.write("file", "small");
  ASSERT_TRUE(upper.scan(ScanGoal::full));
  bool changed = false;
  const auto all = pieces({}, [&](const std::string& path, std::uint64_t) {
    if (path == "file" && !std::exchange(changed, true)) upper.write("file", noise(2 * kMiB + 5));
  });
  EXPECT_EQ(contents_in(all, "file"), noise(2 * kMiB + 5));
  EXPECT_EQ(find(all, "file")->contents, Contents::whole);
}

TEST_F(Archive, BigFileThatShrinksToASmallOneIsReadAgainAsOne) {
  upper.write("file", noise(3 * kMiB));
  upper.write("next", "z");
  ASSERT_TRUE(upper.scan(ScanGoal::full));
  bool changed = false;
  const auto all = pieces({}, [&](const std::string& path, std::uint64_t offset) {
    if (path == "file" && offset >= kMiB && !std::exchange(changed, true)) upper.write("file", "now small");
  });
  EXPECT_EQ(contents_in(all, "file"), "now small");
  EXPECT_EQ(contents_in(all, "next"), "z");
}

TEST_F(Archive, BigFileThatVanishesWhileItIsReadIsLeftOut) {
  upper.write("file", noise(3 * kMiB));
  upper.write("next", "z");
  ASSERT_TRUE(upper.scan(ScanGoal::full));
  bool changed = false;
  const auto all = pieces({}, [&](const std::string& path, std::uint64_t offset) {
    if (path != "file" || offset < kMiB || std::exchange(changed, true)) return;
    std::filesystem::resize_file(upper / "file", 100);
    std::filesystem::remove(upper / "file");
  });
  EXPECT_EQ(find(all, "file"), nullptr);
  EXPECT_EQ(contents_in(all, "next"), "z");
}

// Holes are not read, wherever they begin and end.
TEST_F(Archive, HolesAreNotRead) {
  upper.write("file", "begin");
  std::filesystem::resize_file(upper / "file", 20 * kMiB);
  {
    std::fstream file(upper / "file", std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(10 * kMiB + 5000) << "middle";
  }
  ASSERT_TRUE(upper.scan(ScanGoal::full));
  std::set<std::uint64_t> read;
  const auto all = pieces({}, [&](const std::string&, std::uint64_t offset) { read.insert(offset / kMiB); });
  EXPECT_EQ(read, (std::set<std::uint64_t>{0, 10}));
  const std::string contents = contents_in(all, "file");
  EXPECT_EQ(contents.substr(0, 5), "begin");
  EXPECT_EQ(contents.substr(10 * kMiB + 5000, 6), "middle");
  EXPECT_EQ(contents.find_first_not_of('\0', 5), 10 * kMiB + 5000);
}

}  // namespace
}  // namespace cairn::layer
