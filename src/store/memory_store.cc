#include "store/memory_store.h"

#include <fmt/format.h>

#include <limits>
#include <map>
#include <string>
#include <utility>

#include "base/mutex.h"
#include "store/key.h"
#include "store/range.h"

namespace cairn {

namespace {

// Bytes are shared with the readers that copy them outside the lock; nobody changes them once they are stored.
using SharedBytes = std::shared_ptr<const Bytes>;

struct StoredObject {
  SharedBytes bytes;
  std::string etag;
  std::int64_t modified_ms = 0;
};

struct StoredPart {
  SharedBytes bytes;
  std::string etag;
};

struct StoredUpload {
  std::string key;
  std::int64_t begun_ms = 0;
  std::map<int, StoredPart> parts;
};

Result<SharedBytes> read_all(const Source& body) {
  auto bytes = std::make_shared<Bytes>(body.size_bytes());
  CAIRN_TRY(body.read_at(0, *bytes));
  return SharedBytes(std::move(bytes));
}

Error no_object(std::string_view key) {
  return Error(ErrorKind::not_found, fmt::format("{}: there is no such object", key));
}
Error exists(std::string_view key) {
  return Error(ErrorKind::conflict, fmt::format("{}: the object exists already", key));
}

ObjectInfo info_of(std::string_view key, const StoredObject& object) {
  return ObjectInfo{std::string(key), object.bytes->size(), object.etag, object.modified_ms};
}

class MemoryStore final : public Store {
 public:
  explicit MemoryStore(Clock* clock) : clock_(clock) {}

  std::string url() const override { return "memory"; }

  StoreCapabilities capabilities() const override {
    StoreCapabilities can;
    can.max_put_bytes = std::numeric_limits<std::int64_t>::max();
    can.min_part_bytes = 0;
    can.late_names = true;
    can.max_parts = kMaxPartNumber;
    return can;
  }

  Result<std::string> put_new(std::string_view key, const Source& body) override {
    CAIRN_TRY(check_key(key));
    CAIRN_ASSIGN(SharedBytes bytes, read_all(body));
    MutexLock lock(mutex_);
    if (objects_.contains(key)) return exists(key);
    return keep(key, std::move(bytes));
  }

  Result<std::string> put_if(std::string_view key, const Source& body, std::string_view etag) override {
    CAIRN_TRY(check_key(key));
    CAIRN_ASSIGN(SharedBytes bytes, read_all(body));
    MutexLock lock(mutex_);
    const auto at = objects_.find(key);
    if (at == objects_.end()) return Error(ErrorKind::conflict, fmt::format("{}: the object is gone", key));
    if (at->second.etag != etag)
      return Error(ErrorKind::conflict, fmt::format("{}: the object was replaced meanwhile", key));
    return keep(key, std::move(bytes));
  }

  Result<Object> get(std::string_view key, std::uint64_t offset, std::optional<std::uint64_t> length) override {
    CAIRN_ASSIGN(const StoredObject object, find(key));
    CAIRN_ASSIGN(const ByteRange range, cut_range(key, object.bytes->size(), offset, length));
    return cut(key, object, range);
  }

  Result<Object> get_suffix(std::string_view key, std::uint64_t length) override {
    CAIRN_ASSIGN(const StoredObject object, find(key));
    CAIRN_ASSIGN(const ByteRange range, cut_suffix(key, object.bytes->size(), length));
    return cut(key, object, range);
  }

  Result<ObjectInfo> head(std::string_view key) override {
    CAIRN_ASSIGN(const StoredObject object, find(key));
    return info_of(key, object);
  }

  Result<ListPage> list(std::string_view prefix, std::string_view start_after, int limit) override {
    CAIRN_TRY(check_prefix(prefix));
    const std::size_t most = limit > 0 ? static_cast<std::size_t>(limit) : kPageSize;
    ListPage page;
    MutexLock lock(mutex_);
    auto at = start_after < prefix ? objects_.lower_bound(prefix) : objects_.upper_bound(start_after);
    for (; at != objects_.end() && std::string_view(at->first).starts_with(prefix); ++at) {
      if (page.objects.size() == most) {
        page.more = true;
        break;
      }
      page.objects.push_back(info_of(at->first, at->second));
    }
    return page;
  }

  Result<void> remove(std::string_view key) override {
    CAIRN_TRY(check_key(key));
    MutexLock lock(mutex_);
    if (const auto at = objects_.find(key); at != objects_.end()) objects_.erase(at);
    return {};
  }

  Result<std::vector<NotRemoved>> remove_many(std::span<const std::string> keys) override {
    std::vector<NotRemoved> left;
    MutexLock lock(mutex_);
    for (const std::string& key : keys) {
      if (auto good = check_key(key); !good) {
        left.push_back({key, good.error()});
      } else if (const auto at = objects_.find(key); at != objects_.end()) {
        objects_.erase(at);
      }
    }
    return left;
  }

  Result<std::string> begin_upload(std::string_view key) override {
    CAIRN_TRY(check_key(key));
    MutexLock lock(mutex_);
    const std::string id = fmt::format("upload-{:08}", ++count_);
    uploads_.emplace(id, StoredUpload{std::string(key), now_ms(), {}});
    return id;
  }

  Result<PartInfo> put_part(std::string_view key, std::string_view upload_id, int number,
                            const Source& body) override {
    CAIRN_TRY(check_part_number(number));
    CAIRN_ASSIGN(SharedBytes bytes, read_all(body));
    return keep_part(key, upload_id, number, std::move(bytes));
  }

  Result<PartInfo> copy_part(std::string_view key, std::string_view upload_id, int number,
                             std::string_view source_key, std::uint64_t offset, std::uint64_t length) override {
    CAIRN_TRY(check_part_number(number));
    CAIRN_ASSIGN(const StoredObject source, find(source_key));
    CAIRN_TRY(check_copied_range(source_key, source.bytes->size(), offset, length));
    CAIRN_ASSIGN(Object copied, cut(source_key, source, ByteRange{offset, length}));
    return keep_part(key, upload_id, number, std::make_shared<const Bytes>(std::move(copied.bytes)));
  }

  Result<std::vector<PartInfo>> list_parts(std::string_view key, std::string_view upload_id) override {
    CAIRN_TRY(check_key(key));
    MutexLock lock(mutex_);
    const StoredUpload* upload = find_upload(key, upload_id);
    if (upload == nullptr) return no_upload(key);
    std::vector<PartInfo> parts;
    for (const auto& [number, part] : upload->parts) parts.push_back({number, part.etag, part.bytes->size()});
    return parts;
  }

  Result<std::string> complete_new(std::string_view key, std::string_view upload_id,
                                   std::span<const PartInfo> parts) override {
    CAIRN_TRY(check_key(key));
    MutexLock lock(mutex_);
    const auto upload = uploads_.find(upload_id);  // whatever key it was begun with: late_names
    if (upload == uploads_.end()) return no_upload(key);
    CAIRN_ASSIGN(SharedBytes bytes, join(key, upload->second, parts));
    if (objects_.contains(key)) return exists(key);
    std::string etag = keep(key, std::move(bytes));
    uploads_.erase(upload);
    return etag;
  }

  Result<void> abort_upload(std::string_view key, std::string_view upload_id) override {
    CAIRN_TRY(check_key(key));
    MutexLock lock(mutex_);
    if (find_upload(key, upload_id) != nullptr) uploads_.erase(uploads_.find(upload_id));
    return {};
  }

  Result<std::vector<UploadInfo>> list_uploads(std::string_view prefix) override {
    CAIRN_TRY(check_prefix(prefix));
    std::map<std::pair<std::string, std::string>, UploadInfo> sorted;
    MutexLock lock(mutex_);
    for (const auto& [id, upload] : uploads_) {
      if (upload.key.starts_with(prefix))
        sorted.emplace(std::pair(upload.key, id), UploadInfo{upload.key, id, upload.begun_ms});
    }
    std::vector<UploadInfo> uploads;
    for (auto& [order, upload] : sorted) uploads.push_back(std::move(upload));
    return uploads;
  }

 private:
  static constexpr std::size_t kPageSize = 1000;  // as S3's

  std::int64_t now_ms() REQUIRES(mutex_) { return clock_ != nullptr ? clock_->now().wall_ms : ++ticks_ms_; }

  Result<StoredObject> find(std::string_view key) {
    CAIRN_TRY(check_key(key));
    MutexLock lock(mutex_);
    const auto at = objects_.find(key);
    if (at == objects_.end()) return no_object(key);
    return at->second;
  }

  static Result<Object> cut(std::string_view key, const StoredObject& object, const ByteRange& range) {
    const auto begin = object.bytes->begin() + static_cast<std::ptrdiff_t>(range.offset);
    return Object{info_of(key, object), Bytes(begin, begin + static_cast<std::ptrdiff_t>(range.length))};
  }

  std::string keep(std::string_view key, SharedBytes bytes) REQUIRES(mutex_) {
    StoredObject object{std::move(bytes), fmt::format("etag-{:08}", ++count_), now_ms()};
    std::string etag = object.etag;
    objects_.insert_or_assign(std::string(key), std::move(object));
    return etag;
  }

  // An id is good only together with the key that it was begun for.
  StoredUpload* find_upload(std::string_view key, std::string_view upload_id) REQUIRES(mutex_) {
    const auto at = uploads_.find(upload_id);
    return at == uploads_.end() || at->second.key != key ? nullptr : &at->second;
  }

  Result<PartInfo> keep_part(std::string_view key, std::string_view upload_id, int number, SharedBytes bytes) {
    CAIRN_TRY(check_key(key));
    MutexLock lock(mutex_);
    StoredUpload* upload = find_upload(key, upload_id);
    if (upload == nullptr) return no_upload(key);
    StoredPart& part = upload->parts[number];
    part = StoredPart{std::move(bytes), fmt::format("part-{:08}", ++count_)};
    return PartInfo{number, part.etag, part.bytes->size()};
  }

  static Result<SharedBytes> join(std::string_view key, const StoredUpload& upload, std::span<const PartInfo> parts) {
    CAIRN_TRY(check_parts_order(key, parts));
    auto bytes = std::make_shared<Bytes>();
    for (const PartInfo& wanted : parts) {
      const auto at = upload.parts.find(wanted.number);
      if (at == upload.parts.end() || at->second.etag != wanted.etag) {
        return Error(ErrorKind::invalid, fmt::format("{}: part {} is missing, or another one", key, wanted.number));
      }
      bytes->insert(bytes->end(), at->second.bytes->begin(), at->second.bytes->end());
    }
    return SharedBytes(std::move(bytes));
  }

  Clock* clock_;
  Mutex mutex_;
  std::map<std::string, StoredObject, std::less<>> objects_ GUARDED_BY(mutex_);
  std::map<std::string, StoredUpload, std::less<>> uploads_ GUARDED_BY(mutex_);
  std::uint64_t count_ GUARDED_BY(mutex_) = 0;
  std::int64_t ticks_ms_ GUARDED_BY(mutex_) = 0;
};

}  // namespace

std::unique_ptr<Store> make_memory_store() { return std::make_unique<MemoryStore>(nullptr); }
std::unique_ptr<Store> make_memory_store(Clock& clock) { return std::make_unique<MemoryStore>(&clock); }

}  // namespace cairn
