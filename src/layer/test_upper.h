// For tests: an upper directory with its catalogue, and syncs of it as the archive makes them, but into a list.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "layer/archive.h"
#include "layer/plan.h"
#include "layer/scan.h"
#include "layer/tree.h"
#include "segment/running_hash.h"
#include "support/scratch.h"

namespace cairn::layer::testing {

// Ahead of the file system's clock by so much that no change looks recent; see TestUpper::tick.
class LateClock final : public Clock {
 public:
  std::int64_t ahead_ms = 10'000;
  Time now() override {
    Time time = system_.now();
    time.wall_ms += ahead_ms;
    return time;
  }

 private:
  SystemClock system_;
};

struct Emitted {
  Entry entry;
  std::string contents;
};

class TestUpper {
 public:
  explicit TestUpper(TreeOptions tree_options = {}) : options(std::move(tree_options)) {
    std::filesystem::create_directory(root());
    database_ = std::move(*sqlite::LocalDatabase::open(scratch_ / "state.db", Catalogue::schema()));
    catalogue = std::make_unique<Catalogue>(*database_, 7);
  }

  std::string root() const { return scratch_ / "upper"; }
  std::string operator/(const std::string& path) const { return root() + "/" + path; }
  std::string beside(const std::string& name) const { return scratch_ / name; }

  void write(const std::string& path, const std::string& contents) const {
    std::ofstream(*this / path, std::ios::binary) << contents;
  }
  void mkdir(const std::string& path) const { ASSERT_EQ(::mkdir((*this / path).c_str(), 0755), 0) << path; }
  void whiteout(const std::string& path) const {
    ASSERT_EQ(::mknod((*this / path).c_str(), S_IFCHR, 0), 0) << path;
  }
  void set(const std::string& path, const std::string& name, const std::string& value) const {
    ASSERT_EQ(::lsetxattr((*this / path).c_str(), name.c_str(), value.data(), value.size(), 0), 0) << path << name;
  }

  // Until what changes from now on shows in a ctime.
  void tick() const {
    const std::string probe = scratch_ / "probe";
    std::ofstream(probe) << "x";
    struct stat before {}, now {};
    ::stat(probe.c_str(), &before);
    do {
      ::chmod(probe.c_str(), 0600);
      ::stat(probe.c_str(), &now);
    } while (now.st_ctim.tv_sec == before.st_ctim.tv_sec && now.st_ctim.tv_nsec == before.st_ctim.tv_nsec);
  }

  Result<ScanResult> scan(ScanGoal goal = ScanGoal::increment) {
    auto tree = Tree::open(root(), options, clock);
    if (!tree) return tree.error();
    ScanOptions how;
    how.goal = goal;
    if (++scans_ % 2 == 0) how.ahead = executor_.get();  // with and without
    how.on_notice = [this](std::string_view text) { notices.emplace_back(text); };
    return layer::scan(**tree, *catalogue, clock, how);
  }

  // What the archive does with the plan. `between` is called before each row.
  Result<std::vector<Emitted>> archive(const std::function<void(const PlanRow&)>& between = {}) {
    std::vector<Emitted> all;
    CAIRN_ASSIGN(auto tree, Tree::open(root(), options, clock));
    CAIRN_ASSIGN(auto plan, Plan::load(*catalogue));
    if (!plan) return all;
    CAIRN_ASSIGN(auto rows, plan->rows());
    for (;;) {
      CAIRN_ASSIGN(const auto row, rows->next());
      if (!row) break;
      if (between) between(*row);
      CAIRN_ASSIGN(auto open, tree->open_entry(*row));
      std::string contents;
      bool steady = false;
      for (int attempt = 1; open && !steady && attempt <= kReadAttempts; ++attempt) {
        if (attempt > 1) {
          CAIRN_ASSIGN(open, tree->open_entry(*row, attempt));
          if (!open) break;
        }
        contents.assign(open->has_contents() ? open->entry().size_bytes : 0, '\0');
        CAIRN_ASSIGN(const std::size_t got, open->read_at(0, std::as_writable_bytes(std::span(contents))));
        CAIRN_ASSIGN(const bool still, open->stands_still());
        steady = still && got == contents.size();
      }
      if (!open) {
        CAIRN_TRY(plan->record_left_out(*row));
        continue;
      }
      segment::RunningHash hash;
      hash.add(as_bytes(contents));
      const Contents kept = steady ? Contents::whole : Contents::torn;
      CAIRN_TRY(plan->record(*row, *open, open->has_contents() ? hash.value() : 0, kept));
      all.push_back({open->entry(), std::move(contents)});
    }
    CAIRN_TRY(plan->take_over("object"));
    tick();
    return all;
  }

  Result<std::vector<Emitted>> sync(ScanGoal goal = ScanGoal::increment) {
    CAIRN_ASSIGN(last, scan(goal));
    return archive();
  }

  // A sync's entries as lines: kind and path, what it says besides.
  std::string sync_text(ScanGoal goal = ScanGoal::increment) {
    auto all = sync(goal);
    return all ? text_of(*all) : std::string(name_of(all.error().kind())) + ": " + all.error().message();
  }
  static std::string text_of(const std::vector<Emitted>& all);

  TreeOptions options;
  LateClock clock;
  std::unique_ptr<Catalogue> catalogue;
  ScanResult last;
  std::vector<std::string> notices;

 private:
  cairn::testing::Scratch scratch_{"upper"};
  std::unique_ptr<sqlite::LocalDatabase> database_;
  const std::unique_ptr<Executor> executor_ = make_thread_pool(2);
  int scans_ = 0;
};

inline const char* mark_text(Mark mark) {
  switch (mark) {
    case Mark::none: return "none";
    case Mark::device: return "device";
    case Mark::xattr: return "xattr";
    case Mark::user: return "user";
    case Mark::file: return "file";
    case Mark::fuse: return "fuse";
    case Mark::xattr_file: return "xattr+file";
    case Mark::user_file: return "user+file";
    case Mark::fuse_file: return "fuse+file";
  }
  return "?";
}

inline std::string TestUpper::text_of(const std::vector<Emitted>& all) {
  std::string text;
  for (const auto& [entry, contents] : all) {
    switch (entry.kind) {
      case EntryKind::directory: text += "dir " + entry.path; break;
      case EntryKind::file: text += "file " + entry.path + "=" + contents; break;
      case EntryKind::symlink: text += "symlink " + entry.path + " -> " + entry.link_target; break;
      case EntryKind::hard_link: text += "link " + entry.path + " -> " + entry.link_target; break;
      case EntryKind::char_device: text += "char " + entry.path; break;
      case EntryKind::block_device: text += "block " + entry.path; break;
      case EntryKind::fifo: text += "fifo " + entry.path; break;
      case EntryKind::whiteout: text += "whiteout " + entry.path; break;
      case EntryKind::opaque: text += "opaque " + entry.path; break;
    }
    if (entry.kind == EntryKind::whiteout || entry.mark != Mark::none) text += std::string(" ") + mark_text(entry.mark);
    for (const std::string& name : entry.forgotten) text += " forgets " + name;
    text += "\n";
  }
  return text;
}

}  // namespace cairn::layer::testing
