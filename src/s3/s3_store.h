// A store in a bucket of Amazon S3, or of anything that speaks its protocol.
//
// One call is one request where all goes well, and a few more where it does not: an unclear outcome of a conditional
// write is cleared up by looking at what lies there, a body that broke off is resumed. Failures are not repeated
// here, and large objects not taken apart: see store/retry.h and large.h. open_store() puts the three together.
//
// The first write of a process costs one small request more, by which it is learned whether the store refuses to
// replace an object (some thirty, the first time ever); the first put_if one more, the first complete_new six more.
// See s3_learn.cc.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "cairn/store.h"
#include "s3/client.h"
#include "s3/dialect.h"
#include "s3/usage.h"
#include "s3/xml.h"

namespace cairn::s3 {

// What a store works with. All must outlive it.
struct S3Parts {
  HttpClient& http;
  CredentialsProvider& credentials;
  Clock& clock;
  Random& random;
  const UsageCounter* usage = nullptr;  // what status() tells; null: nothing
  std::shared_ptr<LearnedDialect> dialect = {};  // what others of the same bucket have found out; null: nobody else
};

class S3Store final : public Store {
 public:
  // `known` spares what it says from being learned.
  S3Store(Settings settings, S3Parts parts, const Dialect& known = {});

  std::string url() const override;
  StoreCapabilities capabilities() const override;
  StoreStatus status() const override;

  Result<std::string> put_new(std::string_view key, const Source& body) override;
  Result<std::string> put_if(std::string_view key, const Source& body, std::string_view etag) override;
  Result<Object> get(std::string_view key, std::uint64_t offset, std::optional<std::uint64_t> length) override;
  Result<Object> get_suffix(std::string_view key, std::uint64_t length) override;
  Result<ObjectInfo> read(std::string_view key, std::uint64_t offset, std::uint64_t length,
                          const TakePiece& take) override;
  Result<ObjectInfo> head(std::string_view key) override;
  Result<ListPage> list(std::string_view prefix, std::string_view start_after, int limit) override;
  Result<void> remove(std::string_view key) override;
  Result<std::vector<NotRemoved>> remove_many(std::span<const std::string> keys) override;
  Result<std::string> begin_upload(std::string_view key) override;
  Result<PartInfo> put_part(std::string_view key, std::string_view upload_id, int number,
                            const Source& body) override;
  Result<PartInfo> copy_part(std::string_view key, std::string_view upload_id, int number,
                             std::string_view source_key, std::uint64_t offset, std::uint64_t length) override;
  Result<std::vector<PartInfo>> list_parts(std::string_view key, std::string_view upload_id) override;
  Result<std::string> complete_new(std::string_view key, std::string_view upload_id,
                                   std::span<const PartInfo> parts) override;
  Result<void> abort_upload(std::string_view key, std::string_view upload_id) override;
  Result<std::vector<UploadInfo>> list_uploads(std::string_view prefix) override;

  Dialect dialect() const { return dialect_.now(); }
  Client& client() { return client_; }

  // Finds out, once, what must be known before a write; errors of the attempt come back, and it is made again next
  // time. unsupported: the store has no working create-only put, and nobody said that there is a single writer.
  Result<void> ready_to_write() EXCLUDES(learning_);
  Result<void> learn_put_if() EXCLUDES(learning_);
  Result<void> learn_complete() EXCLUDES(learning_);

 private:
  // What lies under a key, with the marks of the writer that put it there.
  struct Stored {
    ObjectInfo info;
    std::string token;     // of the call that wrote it; empty: none of ours
    std::string replaced;  // the etag that it was put in the place of, by put_if
  };
  // How a write ended that was no success.
  enum class Outcome {
    refused,     // 412: its condition does not hold
    failed,      // an answer that does not say whether it was applied; now it has been, or never will be
    unanswered,  // it may still be under way
  };

  std::string full_key(std::string_view key) const;
  // The key without the store's prefix; empty: it is none of a user's.
  std::string_view key_of(std::string_view full) const;
  Result<void> check_length(std::string_view key) const;
  std::string new_token() EXCLUDES(random_mutex_);

  // s3_put.cc
  Call put_call(const std::string& full, const Source& body, const std::string& token) const;
  // With the sum of the body, which a reader of the whole compares.
  Result<Call> whole_put_call(const std::string& full, const Source& body, const std::string& token) const;
  enum class Checksums { any, crc64nvme_only };
  // Sends a body, with a checksum as far as the store is known to take one.
  Result<HttpResponse> send_body(const Call& call, Checksums checksums);
  Result<void> hear_echo(const HttpResponse& response, const Call& sent, BodyChecksum checksum);
  Result<std::optional<Stored>> look(const std::string& full);
  Result<std::optional<Stored>> look_hard(const std::string& full);  // again a few times when it fails
  Result<std::string> send_until_clear(const Call& call,
                                       const std::function<Result<std::string>(Outcome, const Error&)>& settle);
  Result<std::string> put_new_at(const std::string& full, const Source& body);
  Result<std::string> put_if_at(const std::string& full, const Source& body, std::string_view etag);
  Result<std::string> settle_put_new(const std::string& full, const std::string& token, Outcome outcome,
                                     const Error& error);
  Result<std::string> settle_put_if(const std::string& full, const std::string& token, std::string_view etag,
                                    Outcome outcome, const Error& error);
  Result<std::string> etag_after(const HttpResponse& response, const std::string& full);

  // s3_remove.cc
  Result<void> remove_at(const std::string& full);
  Result<void> remove_batch(std::span<const std::string> fulls, std::vector<NotRemoved>& left);
  void remove_one_by_one(std::span<const std::string> fulls, std::vector<NotRemoved>& left);
  Result<HttpResponse> send_batch(std::span<const std::string> fulls);
  Error error_of_one(const NotDeleted& one) const;

  // s3_learn.cc
  Result<Condition> try_put(const HeaderFields& condition) REQUIRES(learning_);
  Result<Condition> try_put_new() REQUIRES(learning_);
  Result<Condition> try_race() REQUIRES(learning_);
  int winners_of_race(const std::string& key);
  Result<Condition> try_complete() REQUIRES(learning_);
  void end_old_trials();
  Result<bool> bucket_exists();
  Result<void> make_bucket();
  Error no_conditions() const;
  std::string probe_key() const;

  // s3_get.cc
  // A range: from `first`, at most `length` bytes; or the last `length` ones.
  struct Range {
    enum class From { start, end } from = From::start;
    std::uint64_t first = 0;
    std::optional<std::uint64_t> length;
  };
  // Which bytes of an object of `total` an answer carries.
  struct Extent {
    std::uint64_t first = 0, length = 0, total = 0;
  };
  Result<Object> fetch(std::string_view key, const Range& range);
  Result<Object> fetch_nothing(std::string_view key, const Range& range);
  Call range_call(const std::string& full, const Range& range) const;
  Result<Extent> extent_of(const HttpResponse& response, const Range& range, std::uint64_t got) const;
  class Receiver;
  Result<HttpResponse> send_get(const Call& call);
  Result<HttpResponse> receive(Call call, const Range& range, Receiver& receiver);
  Result<void> resume(const std::string& full, Receiver& receiver);
  Result<void> get_rest(const std::string& full, Receiver& receiver);
  // After an answer to HEAD, which never says why.
  Error explain(const std::string& full, const HttpResponse& response);
  Result<void> confirm_bucket();

  // s3_list.cc
  Result<ObjectsPage> list_once(std::string_view prefix, const std::string& after, const std::string& token,
                                std::size_t limit);
  Result<PartsPage> list_parts_once(const std::string& full, std::string_view upload_id, const std::string& marker,
                                    int limit);
  Result<HttpResponse> expect_whole(const Call& call);
  Error out_of_order(std::string_view prefix, std::string_view key) const;
  Error not_asked_for(std::string_view full) const;

  // s3_upload.cc
  static Result<void> check_upload_id(std::string_view key, std::string_view upload_id);
  Result<std::string> begin_upload_at(const std::string& full, const std::string& token);
  Result<PartInfo> put_part_at(const std::string& full, std::string_view upload_id, int number, const Source& body);
  Result<HttpResponse> send_complete(const std::string& full, std::string_view upload_id,
                                     std::span<const PartInfo> parts);
  Result<std::string> complete_at(const std::string& full, std::string_view upload_id,
                                  std::span<const PartInfo> parts);
  Result<std::string> settle_complete(const std::string& full, std::string_view upload_id,
                                      std::span<const PartInfo> parts, Outcome outcome, const Error& error);
  Result<void> abort_at(const std::string& full, std::string_view upload_id);
  std::string token_of(std::string_view upload_id) EXCLUDES(uploads_mutex_);
  void forget(std::string_view upload_id) EXCLUDES(uploads_mutex_);

  // s3_claim.cc: for stores that complete an upload whether the object is there or not
  Result<std::string> complete_under_claim(const std::string& full, std::string_view upload_id,
                                           std::span<const PartInfo> parts);
  Result<void> claim(const std::string& full, std::string_view upload_id);
  Result<void> take_over(const std::string& full, std::string_view upload_id);
  Result<bool> upload_exists(const std::string& full, std::string_view upload_id);

  Client client_;
  const std::shared_ptr<LearnedDialect> learned_;
  LearnedDialect& dialect_;
  const UsageCounter* usage_;
  std::atomic<bool> bucket_seen_ = false;  // some answer showed that the bucket is there
  Mutex learning_;                         // one at a time finds out; the others wait for what it finds
  Mutex random_mutex_;
  Random& random_ GUARDED_BY(random_mutex_);
  Mutex uploads_mutex_;
  std::map<std::string, std::string, std::less<>> tokens_
      GUARDED_BY(uploads_mutex_);  // by upload id: of those begun here
};

}  // namespace cairn::s3
