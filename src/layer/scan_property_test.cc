// Random changes of a tree between syncs. A slow and obvious twin of the scan reads the whole tree with nothing but
// lstat and reads, says what has to be written, and applies what was written to what the store had: it must give
// exactly the tree.
#include <algorithm>
#include <map>
#include <set>

#include "layer/test_upper.h"

namespace cairn::layer {
namespace {

using testing::Emitted;
using testing::TestUpper;

struct Known {
  Entry entry;
  std::string contents;
  bool operator==(const Known&) const = default;
};
using State = std::map<std::string, Known>;

std::string read_all(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<Xattr> read_xattrs(const std::string& path) {
  std::string names(4096, '\0');
  names.resize(static_cast<std::size_t>(std::max<ssize_t>(0, ::llistxattr(path.c_str(), names.data(), names.size()))));
  std::map<std::string, std::string> sorted;
  for (std::size_t at = 0; at < names.size(); at = names.find('\0', at) + 1) {
    std::string value(4096, '\0');
    const ssize_t got = ::lgetxattr(path.c_str(), names.c_str() + at, value.data(), value.size());
    value.resize(static_cast<std::size_t>(std::max<ssize_t>(0, got)));
    sorted[names.c_str() + at] = value;
  }
  std::vector<Xattr> xattrs;
  for (const auto& [name, value] : sorted) xattrs.push_back({name, value});
  return xattrs;
}

bool take(std::vector<Xattr>& xattrs, const std::string& name, const std::string& value) {
  return std::erase(xattrs, Xattr{name, value}) > 0;
}

class Twin {
 public:
  explicit Twin(const std::string& root) : root_(root) { read("", false); }
  State state;

 private:
  void read(const std::string& path, bool in_x) {
    const std::string file = path.empty() ? root_ : root_ + "/" + path;
    struct stat status {};
    ASSERT_EQ(::lstat(file.c_str(), &status), 0);
    Known known;
    Entry& entry = known.entry;
    entry.path = path;
    if (S_ISCHR(status.st_mode) && status.st_rdev == 0) {
      entry.kind = EntryKind::whiteout;
      entry.mark = Mark::device;
      state[path] = known;
      return;
    }
    entry.mode = status.st_mode & 07777;
    entry.uid = status.st_uid;
    entry.gid = status.st_gid;
    entry.mtime_s = status.st_mtim.tv_sec;
    entry.mtime_ns = static_cast<std::uint32_t>(status.st_mtim.tv_nsec);
    entry.xattrs = read_xattrs(file);
    take(entry.xattrs, "trusted.overlay.impure", "y");
    const bool is_x = take(entry.xattrs, "trusted.overlay.opaque", "x");
    if (take(entry.xattrs, "trusted.overlay.opaque", "y")) entry.mark = Mark::xattr;
    if (take(entry.xattrs, "trusted.overlay.whiteout", "") && in_x && S_ISREG(status.st_mode) && status.st_size == 0) {
      entry = Entry{};
      entry.path = path;
      entry.kind = EntryKind::whiteout;
      entry.mark = Mark::xattr;
      state[path] = known;
      return;
    }
    const auto first = S_ISDIR(status.st_mode) ? files_.end() : files_.find(status.st_ino);
    if (S_ISDIR(status.st_mode)) entry.kind = EntryKind::directory;
    if (S_ISFIFO(status.st_mode)) entry.kind = EntryKind::fifo;
    if (S_ISREG(status.st_mode)) {
      known.contents = read_all(file);
      entry.size_bytes = known.contents.size();
    }
    if (S_ISLNK(status.st_mode)) {
      entry.kind = EntryKind::symlink;
      entry.link_target = std::filesystem::read_symlink(file);
    }
    if (first != files_.end()) {
      entry.kind = EntryKind::hard_link;
      entry.link_target = first->second;
      entry.size_bytes = 0;
      entry.xattrs.clear();
      known.contents.clear();
    } else if (entry.kind != EntryKind::directory) {
      files_[status.st_ino] = path;
    }
    state[path] = known;
    if (entry.kind != EntryKind::directory) return;
    std::set<std::string> names;
    for (const auto& one : std::filesystem::directory_iterator(file)) names.insert(one.path().filename());
    for (const std::string& name : names) read(path.empty() ? name : path + "/" + name, is_x);
  }

  std::string root_;
  std::map<std::uint64_t, std::string> files_;
};

// The names in which the two differ, for messages.
std::string differences(const State& store, const State& now) {
  std::vector<Emitted> is, should;
  for (const auto& [path, known] : now) {
    const auto found = store.find(path);
    if (found != store.end() && found->second == known) continue;
    should.push_back({known.entry, known.contents});
    if (found != store.end()) is.push_back({found->second.entry, found->second.contents});
  }
  for (const auto& [path, known] : store) {
    if (!now.contains(path)) is.push_back({known.entry, known.contents});
  }
  if (is.empty() && should.empty()) return "";
  return "is:\n" + TestUpper::text_of(is) + "should be:\n" + TestUpper::text_of(should);
}

bool is_below(const std::string& path, const std::string& directory) {
  return path != directory && (directory.empty() || path.starts_with(directory + "/"));
}
void erase_below(State& state, const std::string& directory) {
  std::erase_if(state, [&](const auto& one) { return is_below(one.first, directory); });
}

// What a restore makes of the store: each layer's entries put over what there was.
void apply(State& state, const std::vector<Emitted>& layer) {
  std::set<std::string> in_layer;
  for (const auto& [written, contents] : layer) {
    Entry entry = written;
    const std::string parent(parent_of(entry.path));
    if (!entry.path.empty()) {
      ASSERT_TRUE(state.contains(parent) && state[parent].entry.kind == EntryKind::directory) << entry.path;
    }
    if (entry.kind == EntryKind::opaque) {
      erase_below(state, entry.path);
      continue;
    }
    if (entry.kind == EntryKind::hard_link) {
      ASSERT_TRUE(in_layer.contains(entry.link_target)) << entry.path;
    }
    if (entry.kind != EntryKind::directory) erase_below(state, entry.path);
    for (const std::string& name : entry.forgotten) {
      state.erase(entry.path.empty() ? name : entry.path + "/" + name);
    }
    state.erase(entry.path);
    entry.forgotten.clear();
    entry.holes.clear();
    in_layer.insert(entry.path);
    if (entry.kind != EntryKind::whiteout || entry.mark != Mark::none) state[entry.path] = {entry, contents};
  }
}

// What has to be written, and no more, so that `before` becomes `now`.
std::set<std::string> expected(const State& before, const State& now) {
  const auto is_directory = [](const State& state, const std::string& path) {
    const auto found = state.find(path);
    return found != state.end() && found->second.entry.kind == EntryKind::directory;
  };
  const auto becomes_opaque = [&](const std::string& path) {
    if (!is_directory(now, path) || now.at(path).entry.mark == Mark::none) return false;
    return !is_directory(before, path) || before.at(path).entry.mark == Mark::none;
  };
  // Of the directories above a name, one for which `holds` does.
  const auto any_above = [](const std::string& path, const auto& holds) {
    for (std::string above = path; !above.empty();) {
      above = parent_of(above);
      if (holds(above)) return true;
    }
    return false;
  };
  std::set<std::string> puts, all;
  for (const auto& [path, known] : now) {
    const auto old = before.find(path);
    const bool hidden = any_above(path, becomes_opaque);
    const Entry& entry = known.entry;
    if (hidden || old == before.end() || old->second != known) {
      if (entry.kind == EntryKind::whiteout) all.insert("whiteout " + path + " " + testing::mark_text(entry.mark));
      else puts.insert(path);
    }
    const bool is_opaque = entry.kind == EntryKind::directory && entry.mark != Mark::none;
    if (is_opaque && (hidden || becomes_opaque(path))) all.insert("opaque " + path);
  }
  for (const auto& [path, known] : before) {
    if (now.contains(path) || any_above(path, becomes_opaque)) continue;
    if (any_above(path, [&](const std::string& above) { return !is_directory(now, above); })) continue;
    const std::string parent(parent_of(path));
    if (known.entry.kind == EntryKind::whiteout) {
      puts.insert(parent);
      all.insert("forget " + path);
    } else {
      all.insert("whiteout " + path + " none");
    }
  }
  std::map<std::string, std::set<std::string>> groups;
  for (const auto& [path, known] : now) {
    if (known.entry.kind == EntryKind::hard_link) groups[known.entry.link_target].insert(path);
  }
  for (auto& [first, names] : groups) {
    names.insert(first);
    const bool any = std::ranges::any_of(names, [&](const std::string& name) { return puts.contains(name); });
    if (any) puts.insert(names.begin(), names.end());
  }
  for (const std::string& path : puts) all.insert("put " + path);
  return all;
}

std::set<std::string> told(const std::vector<Emitted>& layer) {
  std::set<std::string> all;
  for (const auto& [entry, contents] : layer) {
    if (entry.kind == EntryKind::opaque) all.insert("opaque " + entry.path);
    else if (entry.kind == EntryKind::whiteout)
      all.insert("whiteout " + entry.path + " " + testing::mark_text(entry.mark));
    else all.insert("put " + entry.path);
    for (const std::string& name : entry.forgotten) {
      all.insert("forget " + (entry.path.empty() ? name : entry.path + "/" + name));
    }
  }
  return all;
}

// Changes of every kind, on few names, so that they meet. Most attempts make sense, the others fail.
class Changes {
 public:
  Changes(const TestUpper& upper, std::uint64_t seed) : upper_(upper), random_(seed) {}
  SeededRandom& random() { return random_; }

  void one() {
    const std::string path = upper_ / any();
    const std::string other = upper_ / any();
    const char* at = path.c_str();
    switch (random_.below(26)) {
      case 0:
      case 1:
      case 2: write(path); break;
      case 3:
      case 4: ::mkdir(at, 0755); break;
      case 5: ::unlink(at); break;
      case 6: ::rmdir(at); break;
      case 7: remove_all(path); break;
      case 8: ::rename(at, other.c_str()); break;
      case 9:
      case 10: ::link(at, other.c_str()); break;
      case 11: ::symlink(any().c_str(), at); break;
      case 12: ::mknod(at, S_IFCHR, 0); break;
      case 13: ::mkfifo(at, 0600); break;
      case 14: ::chmod(at, 0600 + static_cast<unsigned>(random_.below(8))); break;
      case 15: ::lchown(at, static_cast<uid_t>(random_.below(3)), 0); break;
      case 16: ::lsetxattr(at, "trusted.own", "v", random_.below(2), 0); break;
      case 17: opaque(path); break;
      case 18: ::lremovexattr(at, "trusted.overlay.opaque"); break;
      case 19: ::lsetxattr(at, "trusted.overlay.whiteout", "", 0, 0); break;
      case 20: write_keeping_times(path); break;
      case 21: replace(path); break;
      case 22:
      case 23: ::mkdir(at, 0700); break;
      default: opaque(path); break;
    }
  }

 private:
  std::string any() {
    static const char* const kNames[] = {"a", "b", "b.c", "d", "\xff"};
    std::string path = kNames[random_.below(5)];
    for (std::uint64_t depth = random_.below(4); depth > 1; --depth) {
      path.append("/").append(kNames[random_.below(5)]);
    }
    return path;
  }
  std::string text() { return std::string(random_.below(3), static_cast<char>('a' + random_.below(3))); }
  bool is_regular(const std::string& path) {
    struct stat status {};
    return ::lstat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode);
  }
  void write(const std::string& path) {
    struct stat status {};
    if (::lstat(path.c_str(), &status) != 0 || S_ISREG(status.st_mode)) std::ofstream(path) << text();
  }
  void write_keeping_times(const std::string& path) {
    struct stat status {};
    if (!is_regular(path) || ::lstat(path.c_str(), &status) != 0) return;
    std::ofstream(path) << text();
    const struct timespec times[2] = {status.st_atim, status.st_mtim};
    ::utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW);
  }
  void replace(const std::string& path) {
    if (!is_regular(path)) return;
    const std::string beside = upper_.beside("beside");
    ::unlink(beside.c_str());
    std::ofstream(beside) << text();
    ::rename(beside.c_str(), path.c_str());
  }
  void opaque(const std::string& path) {
    struct stat status {};
    if (::lstat(path.c_str(), &status) != 0 || !S_ISDIR(status.st_mode)) return;
    ::lsetxattr(path.c_str(), "trusted.overlay.opaque", random_.chance(1, 3) ? "x" : "y", 1, 0);
  }
  void remove_all(const std::string& path) {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }

  const TestUpper& upper_;
  SeededRandom random_;
};

class ScanProperty : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    upper_.clock.ahead_ms = GetParam() % 2 == 0 ? 0 : 10'000;
    upper_.set("", "trusted.overlay.impure", "y");
  }
  std::uint64_t seed_ = static_cast<std::uint64_t>(GetParam());
  TestUpper upper_;
  Changes changes_{upper_, seed_};
};

constexpr int kRounds = 6;

// The catalogue is made anew from what the store has; with stamps, as after a restore to the very same directory.
enum class Stamps { none, those_of_the_tree };
void refill(TestUpper& upper, const State& store, Stamps stamps) {
  const auto filled = upper.catalogue->database().transaction([&]() -> Result<void> {
    CAIRN_ASSIGN(const auto refill, CatalogueRefill::begin(*upper.catalogue));
    for (const auto& [path, known] : store) {
      segment::RunningHash hash;
      hash.add(as_bytes(known.contents));
      const std::uint64_t content_hash = known.contents.empty() ? 0 : hash.value();
      struct statx status {};
      ::statx(AT_FDCWD, (upper / path).c_str(), AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &status);
      if (stamps == Stamps::none) {
        CAIRN_TRY(refill->add(known.entry, content_hash, Contents::whole));
      } else {
        const std::int64_t now_ms = upper.clock.now().wall_ms;
        CAIRN_TRY(refill->add(known.entry, content_hash, Contents::whole, stamp_of(status), now_ms));
      }
    }
    return {};
  });
  ASSERT_TRUE(filled) << filled.error().message();
}

TEST_P(ScanProperty, EmitsWhatChangedAndNoMore) {
  State store;
  for (int round = 0; round < kRounds; ++round) {
    if (changes_.random().chance(1, 5)) {
      const Stamps stamps = changes_.random().chance(1, 2) ? Stamps::none : Stamps::those_of_the_tree;
      ASSERT_NO_FATAL_FAILURE(refill(upper_, store, stamps));
    }
    for (std::uint64_t i = changes_.random().below(30); i > 0; --i) changes_.one();
    const State before = store;
    const State now = Twin(upper_.root()).state;
    const bool full = changes_.random().chance(1, 8);
    const auto layer = upper_.sync(full ? ScanGoal::full : ScanGoal::increment);
    ASSERT_TRUE(layer) << layer.error().message();
    if (full) store.clear();
    apply(store, *layer);
    ASSERT_EQ(differences(store, now), "") << TestUpper::text_of(*layer);
    if (!full) {
      ASSERT_EQ(told(*layer), expected(before, now));
    }
    ASSERT_EQ(upper_.sync_text(), "");
  }
}

// The tree changes under the archive's hands: each layer can be put over those before, and the first quiet sync
// brings everything to where the tree is.
TEST_P(ScanProperty, ComesToRestAfterChangesDuringTheSync) {
  upper_.clock.ahead_ms = 0;  // changes do come within one step of the file system's clock
  State store;
  for (int round = 0; round < kRounds; ++round) {
    for (std::uint64_t i = changes_.random().below(30); i > 0; --i) changes_.one();
    const bool full = changes_.random().chance(1, 8);
    ASSERT_TRUE(upper_.scan(full ? ScanGoal::full : ScanGoal::increment));
    const auto layer = upper_.archive([&](const PlanRow&) {
      while (changes_.random().chance(1, 2)) changes_.one();
    });
    ASSERT_TRUE(layer) << layer.error().message();
    if (full && !layer->empty()) store.clear();
    ASSERT_NO_FATAL_FAILURE(apply(store, *layer)) << TestUpper::text_of(*layer);
  }
  const auto quiet = upper_.sync();
  ASSERT_TRUE(quiet) << quiet.error().message();
  ASSERT_NO_FATAL_FAILURE(apply(store, *quiet));
  const State now = Twin(upper_.root()).state;
  ASSERT_EQ(differences(store, now), "") << TestUpper::text_of(*quiet);
}

INSTANTIATE_TEST_SUITE_P(Seeds, ScanProperty, ::testing::Range(1, 201));

}  // namespace
}  // namespace cairn::layer
