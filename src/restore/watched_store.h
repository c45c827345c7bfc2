// A store seen through a counter: what a restore asked for, and whether a listed object turned out to be gone.
#pragma once

#include <atomic>
#include <set>
#include <string>
#include <utility>

#include "base/mutex.h"
#include "cairn/store.h"
#include "segment/keys.h"

namespace cairn::restore {

// Forwards the reading calls and refuses the writing ones: restoring and verifying never write to a store.
class ReadingStore : public Store {
 public:
  explicit ReadingStore(Store& inner) : inner_(inner) {}

  std::string url() const override { return inner_.url(); }
  StoreCapabilities capabilities() const override { return inner_.capabilities(); }
  StoreStatus status() const override { return inner_.status(); }
  Result<Object> get(std::string_view key, std::uint64_t offset, std::optional<std::uint64_t> length) override {
    return inner_.get(key, offset, length);
  }
  Result<Object> get_suffix(std::string_view key, std::uint64_t length) override {
    return inner_.get_suffix(key, length);
  }
  Result<ObjectInfo> head(std::string_view key) override { return inner_.head(key); }
  Result<ListPage> list(std::string_view prefix, std::string_view start_after, int limit) override {
    return inner_.list(prefix, start_after, limit);
  }

  Result<std::string> put_new(std::string_view, const Source&) override { return refused(); }
  Result<std::string> put_if(std::string_view, const Source&, std::string_view) override { return refused(); }
  Result<void> remove(std::string_view) override { return refused(); }
  Result<std::string> begin_upload(std::string_view) override { return refused(); }
  Result<PartInfo> put_part(std::string_view, std::string_view, int, const Source&) override { return refused(); }
  Result<PartInfo> copy_part(std::string_view, std::string_view, int, std::string_view, std::uint64_t,
                             std::uint64_t) override {
    return refused();
  }
  Result<std::vector<PartInfo>> list_parts(std::string_view, std::string_view) override { return refused(); }
  Result<std::string> complete_new(std::string_view, std::string_view, std::span<const PartInfo>) override {
    return refused();
  }
  Result<void> abort_upload(std::string_view, std::string_view) override { return refused(); }
  Result<std::vector<UploadInfo>> list_uploads(std::string_view) override { return refused(); }

 protected:
  Store& inner() { return inner_; }

 private:
  static Error refused() { return Error(ErrorKind::unsupported, "a restore never writes to a store"); }

  Store& inner_;
};

// Counts, and notes a get of an object that answers not_found: somebody prunes, and the plan has to be made again.
class WatchedStore final : public ReadingStore {
 public:
  explicit WatchedStore(Store& inner) : ReadingStore(inner) {}

  bool vanished() const { return vanished_.load(); }
  std::set<std::string> take_vanished() EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    return std::exchange(gone_, {});
  }
  std::uint32_t requests() const { return requests_.load(); }
  std::uint64_t fetched_bytes() const { return fetched_bytes_.load(); }

  Result<Object> get(std::string_view key, std::uint64_t offset, std::optional<std::uint64_t> length) override {
    return counted(note(key, ReadingStore::get(key, offset, length)));
  }
  Result<Object> get_suffix(std::string_view key, std::uint64_t length) override {
    return counted(note(key, ReadingStore::get_suffix(key, length)));
  }
  Result<ObjectInfo> read(std::string_view key, std::uint64_t offset, std::uint64_t length,
                          const TakePiece& take) override {
    return note(key, inner().read(key, offset, length, [&](const ObjectInfo& whole, ByteView piece) {
      fetched_bytes_ += piece.size();
      return take(whole, piece);
    }));
  }
  Result<ObjectInfo> head(std::string_view key) override {
    ++requests_;
    return ReadingStore::head(key);
  }
  Result<ListPage> list(std::string_view prefix, std::string_view start_after, int limit) override {
    ++requests_;
    return ReadingStore::list(prefix, start_after, limit);
  }

 private:
  Result<Object> counted(Result<Object> object) {
    if (object) fetched_bytes_ += object->bytes.size();
    return object;
  }
  template <class T>
  Result<T> note(std::string_view key, Result<T> result) EXCLUDES(mutex_) {
    ++requests_;
    if (!result && result.error().kind() == ErrorKind::not_found && segment::parse_any_key(key)) {
      vanished_ = true;
      const MutexLock lock(mutex_);
      gone_.emplace(key);
    }
    return result;
  }

  Mutex mutex_;
  std::set<std::string> gone_ GUARDED_BY(mutex_);
  std::atomic<bool> vanished_ = false;
  std::atomic<std::uint32_t> requests_ = 0;
  std::atomic<std::uint64_t> fetched_bytes_ = 0;
};

}  // namespace cairn::restore
