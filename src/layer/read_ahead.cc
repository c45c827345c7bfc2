// Directories that were seen wait in the order of the walk. Whoever has time takes the first one: it is listed, and its
// directories wait in turn. Beside the walk one piece of work is under way, which goes on until enough lies ready.
#include "layer/read_ahead.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "base/mutex.h"
#include "layer/look.h"

namespace cairn::layer {
namespace {

constexpr std::size_t kMostReady = 128;       // directories, each of them open
constexpr std::size_t kMostNames = 20'000;    // in those
constexpr std::size_t kMostStatuses = 4096;   // of one directory: each takes 256 bytes
constexpr std::ptrdiff_t kDeepest = 32;       // directories above one another that are held open

struct Seen {
  std::shared_ptr<const FileDescriptor> parent;
  std::string name;
};

Result<Listing> list_one(const Seen& seen) {
  Listing listing;
  CAIRN_ASSIGN(auto opened, open_directory(seen.parent->get(), seen.name));
  if (!opened) return listing;
  listing.directory = std::make_shared<const FileDescriptor>(std::move(*opened));
  CAIRN_ASSIGN(listing.names, names_in(listing.directory->get()));
  if (listing.names.size() > kMostStatuses) return listing;
  listing.statuses.reserve(listing.names.size());
  for (const std::string& name : listing.names) {
    CAIRN_ASSIGN(const auto status, status_at(listing.directory->get(), name));
    listing.statuses.push_back(status);
  }
  return listing;
}

}  // namespace

struct ReadAhead::Shared : std::enable_shared_from_this<ReadAhead::Shared> {
  Shared(Executor& executor_in, std::uint64_t mount_in) : executor(executor_in), mount(mount_in) {}

  bool has_room() const REQUIRES(mutex) { return ready.size() < kMostReady && ready_names < kMostNames; }

  void note_directories(const std::string& key, const Listing& listing) REQUIRES(mutex) {
    for (std::size_t i = 0; i < listing.statuses.size(); ++i) {
      const auto& status = listing.statuses[i];
      if (!status || !S_ISDIR(status->stx_mode) || status->stx_mnt_id != mount) continue;
      std::string below = key.empty() ? listing.names[i] : key + '\0' + listing.names[i];
      if (reaches(below)) waiting.emplace(std::move(below), Seen{listing.directory, listing.names[i]});
    }
  }

  // Lists the first one that waits. What cannot be listed is left to the walk, which tells why.
  void list_first() REQUIRES(mutex) {
    const auto first = waiting.extract(waiting.begin());
    begun.insert(first.key());
    mutex.unlock();
    Result<Listing> listing = list_one(first.mapped());
    mutex.lock();
    begun.erase(first.key());
    if (listing && !is_cancelled && first.key() > asked) {
      note_directories(first.key(), *listing);
      ready_names += listing->names.size();
      ready.emplace(first.key(), std::move(*listing));
    } else if (listing && !is_cancelled && first.key() == asked) {
      found = std::move(*listing);
    }
    changed.notify_all();
  }

  void work() EXCLUDES(mutex) {
    MutexLock lock(mutex);
    while (!is_cancelled && !waiting.empty() && has_room()) list_first();
    is_working = false;
    changed.notify_all();
  }

  void start_work() EXCLUDES(mutex) {
    {
      MutexLock lock(mutex);
      const bool is_low = ready.size() < kMostReady / 2 && ready_names < kMostNames / 2;
      if (is_working || waiting.empty() || !is_low) return;
      is_working = true;
    }
    executor.run([self = shared_from_this()] { self->work(); });
  }

  void forget_before(const std::string& key) REQUIRES(mutex) {
    waiting.erase(waiting.begin(), waiting.lower_bound(key));
    while (!ready.empty() && ready.begin()->first < key) drop(ready.begin());
  }
  void drop(std::map<std::string, Listing>::iterator at) REQUIRES(mutex) {
    ready_names -= at->second.names.size();
    ready.erase(at);
  }

  // Nothing: nobody has looked at it.
  std::optional<Listing> find(const std::string& key) EXCLUDES(mutex) {
    MutexLock lock(mutex);
    asked = key;
    forget_before(key);
    if (const auto at = ready.find(key); at != ready.end()) {
      std::optional<Listing> listing = std::move(at->second);
      ready_names -= listing->names.size();
      ready.erase(at);
      return listing;
    }
    while (begun.contains(key)) {
      if (!waiting.empty() && has_room()) list_first();
      else changed.wait(mutex);
    }
    if (found) note_directories(key, *found);
    else waiting.erase(key);
    return std::exchange(found, std::nullopt);
  }

  Executor& executor;
  const std::uint64_t mount;

  Mutex mutex;
  ConditionVariable changed;
  std::map<std::string, Seen> waiting GUARDED_BY(mutex);
  std::set<std::string> begun GUARDED_BY(mutex);
  std::map<std::string, Listing> ready GUARDED_BY(mutex);
  std::optional<Listing> found GUARDED_BY(mutex);  // the one that was asked for while it was being listed
  std::string asked GUARDED_BY(mutex);             // last
  std::size_t ready_names GUARDED_BY(mutex) = 0;
  bool is_working GUARDED_BY(mutex) = false, is_cancelled GUARDED_BY(mutex) = false;
};

ReadAhead::ReadAhead(Executor& executor, std::uint64_t mount) : shared_(std::make_shared<Shared>(executor, mount)) {}

ReadAhead::~ReadAhead() {
  MutexLock lock(shared_->mutex);
  shared_->is_cancelled = true;
  while (!shared_->begun.empty()) shared_->changed.wait(shared_->mutex);
}

bool ReadAhead::reaches(std::string_view key) { return std::ranges::count(key, '\0') < kDeepest; }

Result<Listing> ReadAhead::take(const std::string& key, std::shared_ptr<const FileDescriptor> parent,
                                const std::string& name) {
  std::optional<Listing> listing = shared_->find(key);
  if (!listing) {
    CAIRN_ASSIGN(listing, list_one({std::move(parent), name}));
    MutexLock lock(shared_->mutex);
    shared_->note_directories(key, *listing);
  }
  shared_->start_work();
  return std::move(*listing);
}

}  // namespace cairn::layer
