#include "daemon/file_walk.h"

#include <fmt/format.h>
#include <fnmatch.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <iterator>
#include <system_error>
#include <unordered_set>

#include "base/clock.h"
#include "daemon/database_finder.h"
#include "daemon/path_text.h"
#include "store/file_url.h"

namespace cairn::daemon {

namespace {

namespace fs = std::filesystem;

constexpr int kMostLinks = 40;                   // on one way, as in Linux
constexpr std::int64_t kPublish_ms = 20;         // between two times that a walk tells what it has found
constexpr std::int64_t kMostFailing_ms = 3'000;  // of a disk that takes its time: then the rest has failed as well

bool is_absence(int number) {
  return number == ENOENT || number == ENOTDIR || number == ELOOP || number == ENAMETOOLONG;
}

// Not of a name that is not there, or may not be looked at.
bool is_of_the_disk(int number) { return number != 0 && !is_absence(number) && number != EACCES; }

// Replicas that lie beside databases are no place for others.
bool is_walked(const std::string& name) { return name[0] != '.' && !name.ends_with("-cairn"); }

struct Followed {
  enum class End { there, elsewhere, failed };
  End end;
  std::string real;
};

// Follows links as the kernel does, as long as they stay on one device.
class LinkFollower {
 public:
  LinkFollower(const MountTable& mounts, const std::string& device) : mounts_(mounts), device_(device) {}

  Followed follow(const std::string& path) {
    std::vector<std::string> rest;  // backwards
    std::string real;               // "": the root
    add(rest, path);
    int links = 0;
    bool is_there = true;
    while (!rest.empty()) {
      const std::string name = std::move(rest.back());
      rest.pop_back();
      if (name.empty() || name == ".") continue;
      if (name != "..") real += "/" + name;
      if (name == "..") cut(real);
      if (!is_there || name == ".." || plain_.contains(real)) continue;
      std::error_code error;
      const std::string target = fs::read_symlink(real, error).string();
      if (is_of_the_disk(error.value()) && error.value() != EINVAL) return {Followed::End::failed, path};
      if (error.value() == EINVAL && !rest.empty()) plain_.insert(real);
      if (error || ++links > kMostLinks) {
        is_there = error.value() == EINVAL;
        continue;
      }
      add(rest, target);
      cut(real);
      if (target.starts_with('/')) real.clear();
      if (std::string way = joined(real, rest); mounts_.device_of(normal(way)) != device_) {
        return {Followed::End::elsewhere, std::move(way)};
      }
    }
    return {Followed::End::there, real.empty() ? "/" : real};
  }

 private:
  static void add(std::vector<std::string>& rest, const std::string& path) {
    const std::vector<std::string> names = components_of(path);
    rest.insert(rest.end(), names.rbegin(), names.rend());
  }

  static void cut(std::string& real) { real.erase(std::min(real.rfind('/'), real.size())); }

  static std::string joined(std::string real, const std::vector<std::string>& rest) {
    for (auto name = rest.rbegin(); name != rest.rend(); ++name) real += "/" + *name;
    return real.empty() ? "/" : real;
  }

  const MountTable& mounts_;
  const std::string& device_;
  std::unordered_set<std::string> plain_;  // directories that are no links
};

// Counts what is done, and how long failures took. A few damaged directories fail at once and keep nobody waiting.
class Progress {
 public:
  explicit Progress(Steps& steps) : steps_(steps) {}

  void step() {
    ++steps_;
    moved_ms_ = monotonic_ms();
  }
  void fail() {
    const std::int64_t before_ms = moved_ms_;
    step();
    failing_ms_ += moved_ms_ - before_ms;
  }
  bool has_failed() const { return failing_ms_ >= kMostFailing_ms; }
  std::int64_t moved_ms() const { return moved_ms_; }

 private:
  Steps& steps_;
  std::int64_t moved_ms_ = monotonic_ms(), failing_ms_ = 0;
};

class Walk {
 public:
  using Publish = std::function<void(Walked&& more)>;
  Walk(const std::vector<std::string>& components, const MountTable& mounts, const std::string& device, Steps& steps,
       Publish publish)
      : components_(components), mounts_(mounts), device_(device), links_(mounts, device), progress_(steps),
        publish_(std::move(publish)) {}

  void begin(const Way& way) {
    Followed followed{Followed::End::failed, ""};
    if (!progress_.has_failed()) followed = links_.follow(way.real);
    if (followed.end == Followed::End::failed) return note(way.path, EIO);
    step();
    Way on{way.path, std::move(followed.real), way.below, way.index};
    if (followed.end == Followed::End::elsewhere) return walked_.elsewhere.push_back(std::move(on));
    if (on.below.empty()) return at(on);
    struct stat file{};
    if (::stat(on.real.c_str(), &file) != 0) return note(on.path, errno);
    if (on.index < components_.size()) {
      if (S_ISDIR(file.st_mode)) at(on);
    } else {
      take_file(on);
    }
  }

  void publish() {
    published_ms_ = progress_.moved_ms();
    publish_(std::exchange(walked_, {}));
  }

 private:
  void step() {
    progress_.step();
    if (progress_.moved_ms() - published_ms_ >= kPublish_ms) publish();
  }

  void at(const Way& way) {
    if (!seen_.emplace(way.path, way.index).second) return;
    walked_.directories.insert(way.path);
    const std::string& component = components_[way.index];
    const bool any_depth = component == "**";
    if (any_depth) at({way.path, way.real, way.below, way.index + 1});
    std::error_code error;
    fs::directory_iterator entry(way.real, error), end;
    for (; !error && entry != end && !progress_.has_failed(); entry.increment(error)) {
      step();
      const std::string name = entry->path().filename().string();
      if (any_depth ? !is_walked(name) : ::fnmatch(component.c_str(), name.c_str(), FNM_PERIOD) != 0) continue;
      const std::string below = way.below.empty() ? name : way.below + "/" + name;
      take(*entry, {name_in(way.path, name), name_in(way.real, name), below, way.index + (any_depth ? 0 : 1)},
           any_depth);
    }
    note(way.path, progress_.has_failed() ? EIO : error.value());
  }

  // Links are not followed at any depth: they can lead in circles.
  void take(const fs::directory_entry& entry, const Way& way, bool any_depth) {
    const std::string* const mounted = mounts_.mounted_at(way.real);
    if (mounted && *mounted != device_) return walked_.elsewhere.push_back(way);
    std::error_code error;
    const bool is_link = entry.is_symlink(error), is_directory = !is_link && !error && entry.is_directory(error);
    if (error) return note(way.path, error.value());
    if (is_link) {
      if (!any_depth) begin(way);
    } else if (way.index < components_.size()) {
      if (is_directory) at(way);
    } else if (!is_directory) {
      take_file(way);
    }
  }

  void take_file(const Way& way) {
    if (is_beside_a_database(fs::path(way.path).filename().string())) return;
    struct stat file{};
    const int number = ::stat(way.real.c_str(), &file) == 0 ? 0 : errno;
    if (number != 0 && number != EACCES) return note(way.path, number);
    if (number == 0 && !S_ISREG(file.st_mode)) return;
    walked_.files.emplace(way.path, Walked::File{way.below, number != 0 ? "" : identity_text(file)});
  }

  static std::string identity_text(const struct stat& file) {
    return fmt::format("{}:{}", file.st_dev, file.st_ino);
  }

  void note(const std::string& path, int number) {
    if (number == EACCES) walked_.denied.insert(path);
    if (!is_of_the_disk(number)) return;
    walked_.failed.insert(path);
    progress_.fail();
  }

  const std::vector<std::string>& components_;
  const MountTable& mounts_;
  const std::string& device_;
  LinkFollower links_;
  Progress progress_;
  const Publish publish_;
  std::int64_t published_ms_ = monotonic_ms();
  Walked walked_;  // since then
  std::set<std::pair<std::string, std::size_t>> seen_;
};

}  // namespace

std::vector<std::string> steps_of(std::string_view pattern) {
  std::vector<std::string> components;
  while (!pattern.empty()) {
    const std::size_t slash = std::min(pattern.find('/'), pattern.size());
    components.emplace_back(pattern.substr(0, slash));
    pattern.remove_prefix(std::min(slash + 1, pattern.size()));
  }
  return components;
}

bool matches(std::span<const std::string> components, std::span<const std::string> names) {
  if (components.empty() || names.empty()) return components.empty() && names.empty();
  const auto rest = components.subspan(1);
  if (components[0] == "**") {
    return matches(rest, names) || (is_walked(names[0]) && matches(components, names.subspan(1)));
  }
  if (rest.empty() && is_beside_a_database(names[0])) return false;
  return ::fnmatch(components[0].c_str(), names[0].c_str(), FNM_PERIOD) == 0 && matches(rest, names.subspan(1));
}

// Of what is not there, the name.
std::optional<std::string> identity_of(const std::string& name, const std::string& real) {
  struct stat file{};
  if (::stat(real.c_str(), &file) == 0) return fmt::format("{}:{}", file.st_dev, file.st_ino);
  return is_of_the_disk(errno) ? std::nullopt : std::optional(name);
}

std::optional<std::string> place_at(const std::string& /*name*/, const std::string& real) { return file_url(real); }

Names look_at_names(const std::vector<Way>& ways, const Look& look, const MountTable& mounts, const std::string& device,
                    Steps& steps) {
  LinkFollower links(mounts, device);
  Progress progress(steps);
  Names names;
  for (const Way& way : ways) {
    Followed followed{Followed::End::failed, ""};
    if (!progress.has_failed()) followed = links.follow(way.real);
    std::optional<std::string> answer;
    if (followed.end == Followed::End::there) answer = look(way.path, followed.real);
    if (followed.end == Followed::End::elsewhere) {
      names.elsewhere.push_back({way.path, std::move(followed.real)});
    } else if (answer) {
      names.answers.emplace(way.path, std::move(*answer));
    } else {
      names.failed.insert(way.path);
      progress.fail();
      continue;
    }
    progress.step();
  }
  return names;
}

void Walked::merge(Walked&& more) {
  files.merge(more.files);
  directories.merge(more.directories);
  denied.merge(more.denied);
  failed.merge(more.failed);
  elsewhere.insert(elsewhere.end(), std::make_move_iterator(more.elsewhere.begin()),
                   std::make_move_iterator(more.elsewhere.end()));
}

WalkUnderway::WalkUnderway(std::string question, std::vector<std::string> components, std::vector<Way> ways)
    : question_(std::move(question)), components_(std::move(components)), ways_(std::move(ways)),
      moved_ms_(monotonic_ms()) {}

void WalkUnderway::run(const MountTable& mounts, const std::string& device, Steps& steps) {
  Walk walk(components_, mounts, device, steps, [this](Walked&& more) {
    moved_ms_ = monotonic_ms();
    MutexLock lock(mutex_);
    found_.merge(std::move(more));
  });
  for (const Way& way : ways_) walk.begin(way);
  walk.publish();
  is_over_ = true;
}

Walked WalkUnderway::found() const {
  MutexLock lock(mutex_);
  return found_;
}

bool WalkUnderway::gets_on(std::int64_t patience_ms) const { return monotonic_ms() - moved_ms_ < patience_ms; }

}  // namespace cairn::daemon
