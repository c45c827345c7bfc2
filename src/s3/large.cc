// A put that was interrupted leaves its upload behind, on purpose: the next put of the same key finds it, compares
// what the store has of each part with the bytes at hand (the etag of a part is its MD5, or else it never matches),
// and sends only the rest. An upload that expired meanwhile, or whose parts somebody else replaced, is begun anew
// once.
//
// A store that does not honour conditions when an upload is completed gets large objects in one plain conditional
// put, as far as it takes them: slower, and right.
#include "s3/large.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <functional>
#include <latch>
#include <optional>
#include <utility>

#include "base/mutex.h"
#include "s3/checksum.h"
#include "store/around.h"
#include "store/key.h"
#include "store/part_size.h"
#include "store/range.h"

namespace cairn::s3 {

namespace {

constexpr int kCompletions = 3;  // of one upload: each finds out by itself whether the last one was applied
constexpr std::uint64_t kMiB = 1 << 20;

// A piece of a source, as a source.
class Slice final : public Source {
 public:
  Slice(const Source& whole, std::uint64_t offset, std::uint64_t size)
      : whole_(whole), offset_(offset), size_(size) {}
  std::uint64_t size_bytes() const override { return size_; }
  Result<void> read_at(std::uint64_t offset, std::span<std::byte> into) const override {
    return whole_.read_at(offset_ + offset, into);
  }

 private:
  const Source& whole_;
  const std::uint64_t offset_, size_;
};

// Runs work(0) .. work(count - 1) on `width` threads of the executor, in this order; after an error nothing more is
// begun, and that error comes back.
Result<void> run_all(Executor& executor, std::uint64_t count,
                     const std::function<Result<void>(std::uint64_t)>& work) {
  const auto width =
      static_cast<std::ptrdiff_t>(std::min<std::uint64_t>(count, static_cast<std::uint64_t>(executor.width())));
  std::atomic<std::uint64_t> next = 0;
  std::atomic<bool> failed = false;
  Mutex mutex;
  std::optional<Error> error;
  std::latch done(width);
  for (std::ptrdiff_t i = 0; i < width; ++i) {
    executor.run([&] {
      for (std::uint64_t at; !failed && (at = next++) < count;) {
        if (auto result = work(at); !result) {
          MutexLock lock(mutex);
          if (!error) error = result.error();
          failed = true;
        }
      }
      done.count_down();
    });
  }
  done.wait();
  if (error) return *std::move(error);
  return {};
}

class LargeObjectStore final : public StoreAround<LargeObjectStore> {
 public:
  LargeObjectStore(std::shared_ptr<void> environment, std::unique_ptr<Store> inner, S3Store& s3,
                   const LargeOptions& options)
      : environment_(std::move(environment)), inner_(std::move(inner)), s3_(s3), options_(options) {}

  Store& inner() const { return *inner_; }
  template <class Call>
  auto around(const StoreCall&, const Call& call) -> decltype(call()) {
    return call();
  }
  Result<std::string> put_new(std::string_view key, const Source& body) override;
  Result<std::string> put_new_beside(std::string_view key, const Source& body, const Beside& beside) override {
    return Store::put_new_beside(key, body, beside);
  }
  Result<Object> get(std::string_view key, std::uint64_t offset, std::optional<std::uint64_t> length) override;

 private:
  // An upload under way. A part without an etag is still to be sent.
  struct Upload {
    std::string id;
    std::vector<PartInfo> parts;
    bool from_earlier = false;
  };
  Result<std::string> put_in_parts(std::string_view key, const Source& body);
  Result<Upload> begin_or_find(std::string_view key, const Source& body, bool look);
  Result<void> find_parts(std::string_view key, const Source& body, Upload& upload);
  Result<void> send_parts(std::string_view key, const Source& body, Upload& upload);
  Result<std::string> complete(std::string_view key, const Upload& upload);
  Result<Object> get_in_ranges(std::string_view key, std::uint64_t offset, std::optional<std::uint64_t> length);
  Executor& executor() EXCLUDES(mutex_);
  std::uint64_t part_size(const Source& body) const;
  Slice slice(const Source& body, int number) const;

  const std::shared_ptr<void> environment_;
  const std::unique_ptr<Store> inner_;
  S3Store& s3_;
  const LargeOptions options_;
  Mutex mutex_;
  std::unique_ptr<Executor> executor_ GUARDED_BY(mutex_);  // from the first large object on
};

Executor& LargeObjectStore::executor() {
  MutexLock lock(mutex_);
  if (!executor_) executor_ = make_thread_pool(std::max(1, options_.connections));
  return *executor_;
}

std::uint64_t LargeObjectStore::part_size(const Source& body) const {
  return part_size_bytes(body.size_bytes(), options_.part_bytes, capabilities().max_parts);
}

Slice LargeObjectStore::slice(const Source& body, int number) const {
  const std::uint64_t size = part_size(body);
  const std::uint64_t offset = static_cast<std::uint64_t>(number - 1) * size;
  return {body, offset, std::min(size, body.size_bytes() - offset)};
}

Result<std::string> LargeObjectStore::put_new(std::string_view key, const Source& body) {
  if (body.size_bytes() <= options_.one_put_bytes) return inner_->put_new(key, body);
  CAIRN_TRY(check_key(key));
  CAIRN_TRY(s3_.ready_to_write());
  CAIRN_TRY(s3_.learn_complete());
  const bool safe_in_parts = s3_.dialect().complete == Condition::honoured;
  if (!safe_in_parts && body.size_bytes() <= capabilities().max_put_bytes) return inner_->put_new(key, body);
  return put_in_parts(key, body);
}

Result<std::string> LargeObjectStore::put_in_parts(std::string_view key, const Source& body) {
  if (body.size_bytes() / part_size(body) >= kPartsThatAllTake) CAIRN_TRY(most_parts(*inner_, key));
  for (bool look = true;; look = false) {
    CAIRN_ASSIGN(Upload upload, begin_or_find(key, body, look));
    const auto stored = [&]() -> Result<std::string> {
      CAIRN_TRY(send_parts(key, body, upload));
      return complete(key, upload);
    }();
    if (stored) return stored;
    const ErrorKind kind = stored.error().kind();
    // What passes leaves the upload for the next put of this key.
    if (kind == ErrorKind::retry_later || kind == ErrorKind::maybe_done) return stored;
    (void)inner_->abort_upload(key, upload.id);
    const bool spoilt = kind == ErrorKind::not_found || (kind == ErrorKind::invalid && upload.from_earlier);
    if (!spoilt) return stored;
    // Expired while it was sent, or in the hands of somebody else. Another upload is begun, once.
    if (!look) return stored.error().as(ErrorKind::retry_later);
  }
}

Result<LargeObjectStore::Upload> LargeObjectStore::begin_or_find(std::string_view key, const Source& body,
                                                                 bool look) {
  Upload upload;
  const std::uint64_t size = part_size(body);
  const auto count = static_cast<int>((body.size_bytes() + size - 1) / size);
  for (int number = 1; number <= count; ++number)
    upload.parts.push_back({number, {}, slice(body, number).size_bytes()});
  if (look) {
    const auto uploads = inner_->list_uploads(key);
    // Keys that may not list uploads can still make them.
    if (!uploads && uploads.error().kind() != ErrorKind::denied && uploads.error().kind() != ErrorKind::unsupported) {
      return uploads.error();
    }
    for (const UploadInfo& found : uploads ? *uploads : std::vector<UploadInfo>()) {
      if (found.key != key) continue;
      upload.id = found.upload_id;
      upload.from_earlier = true;
    }
  }
  if (upload.from_earlier) {
    CAIRN_TRY(find_parts(key, body, upload));
  } else {
    CAIRN_ASSIGN(upload.id, inner_->begin_upload(key));
  }
  return upload;
}

// Fills in the parts that the store has just as they are here.
Result<void> LargeObjectStore::find_parts(std::string_view key, const Source& body, Upload& upload) {
  auto there = inner_->list_parts(key, upload.id);
  if (!there && there.error().kind() == ErrorKind::not_found) {  // just gone
    upload.from_earlier = false;
    CAIRN_ASSIGN(upload.id, inner_->begin_upload(key));
    return {};
  }
  if (!there) return there.error();
  for (const PartInfo& part : *there) {
    if (static_cast<std::size_t>(part.number) > upload.parts.size()) continue;
    PartInfo& wanted = upload.parts[static_cast<std::size_t>(part.number) - 1];
    if (part.size_bytes != wanted.size_bytes) continue;
    CAIRN_ASSIGN(const std::string digest, md5_hex(slice(body, part.number)));
    if (digest == part.etag) wanted.etag = part.etag;
  }
  return {};
}

Result<void> LargeObjectStore::send_parts(std::string_view key, const Source& body, Upload& upload) {
  return run_all(executor(), upload.parts.size(), [&](std::uint64_t at) -> Result<void> {
    PartInfo& part = upload.parts[at];
    if (!part.etag.empty()) return {};
    CAIRN_ASSIGN(part, inner_->put_part(key, upload.id, part.number, slice(body, part.number)));
    return {};
  });
}

Result<std::string> LargeObjectStore::complete(std::string_view key, const Upload& upload) {
  for (int tries = 1;; ++tries) {
    auto etag = inner_->complete_new(key, upload.id, upload.parts);
    if (etag || etag.error().kind() != ErrorKind::maybe_done || tries == kCompletions) return etag;
  }
}

Result<Object> LargeObjectStore::get(std::string_view key, std::uint64_t offset,
                                     std::optional<std::uint64_t> length) {
  if (length && *length <= options_.one_get_bytes) return inner_->get(key, offset, length);
  auto object = get_in_ranges(key, offset, length);
  // Replaced between two ranges: what is there now is there whole.
  if (!object && object.error().kind() == ErrorKind::conflict) object = get_in_ranges(key, offset, length);
  if (!object && object.error().kind() == ErrorKind::conflict) return object.error().as(ErrorKind::retry_later);
  return object;
}

// conflict: the object changed on the way.
Result<Object> LargeObjectStore::get_in_ranges(std::string_view key, std::uint64_t offset,
                                               std::optional<std::uint64_t> length) {
  CAIRN_ASSIGN(Object object, inner_->get(key, offset, options_.one_get_bytes));
  const std::uint64_t have = object.bytes.size();
  const std::uint64_t rest = object.info.size_bytes - offset;
  const std::uint64_t wanted = std::min(rest, length.value_or(rest));
  if (wanted <= have) return object;
  object.bytes.resize(wanted);
  const std::uint64_t share = (wanted - have) / static_cast<std::uint64_t>(std::max(1, options_.connections));
  const std::uint64_t range_bytes = std::clamp(share + 1, options_.range_bytes, options_.longest_range_bytes);
  const std::uint64_t pieces = (wanted - have + range_bytes - 1) / range_bytes;
  const auto read = run_all(executor(), pieces, [&](std::uint64_t at) -> Result<void> {
    const Error changed = changed_while_read(key).as(ErrorKind::conflict);
    std::uint64_t next = have + at * range_bytes;
    const std::uint64_t end = std::min(next + range_bytes, wanted);
    const auto take = [&](const ObjectInfo& whole, ByteView piece) -> Result<void> {
      if (whole.etag != object.info.etag || piece.size() > end - next) return changed;
      std::memcpy(object.bytes.data() + next, piece.data(), piece.size());
      next += piece.size();
      return {};
    };
    CAIRN_TRY(inner_->read(key, offset + next, end - next, take));
    if (next != end) return changed;
    return {};
  });
  if (!read) return read.error();
  return object;
}

}  // namespace

std::uint64_t part_size_bytes(std::uint64_t object_bytes, std::uint64_t least_bytes, int most_parts) {
  // Each part waits once for its answer. Twice the size waits half as often, from where all connections have some.
  constexpr std::uint64_t kManyParts = 32;
  const std::uint64_t grown_bytes = object_bytes < least_bytes * kManyParts ? least_bytes : 2 * least_bytes;
  const std::uint64_t size = part_bytes_for(object_bytes, grown_bytes, most_parts);
  return size == grown_bytes ? size : (size + kMiB - 1) / kMiB * kMiB;
}

std::unique_ptr<Store> make_large_object_store(std::shared_ptr<void> environment, std::unique_ptr<Store> inner,
                                               S3Store& s3, const LargeOptions& options) {
  return std::make_unique<LargeObjectStore>(std::move(environment), std::move(inner), s3, options);
}

}  // namespace cairn::s3
