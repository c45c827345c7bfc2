// What must be known of a store before it is written to, learned by trying on one small object that stays:
// "<prefix>/.cairn-probe". The first try ever creates it; from then on a create-only put of it must be refused, so a
// process that begins learns with a single request whether the store honours the condition. That the object stays is
// what makes it one request, and what keeps a trial from ever touching an object of the user's.
//
// A store may look first and put afterwards (Swift 2.38): then of several writers at the same moment more than one is
// told that it won. The process that puts the probe object has some race for other keys. Where that fails the probe
// object goes away again: that it is there says that the race was passed.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <latch>
#include <utility>

#include "base/bytes.h"
#include "base/executor.h"
#include "s3/answers.h"
#include "s3/s3_store.h"
#include "s3/xml.h"

namespace cairn::s3 {

namespace {

constexpr std::string_view kProbeText =
    "Cairn puts this object to see whether the store refuses to replace what is there. It may be deleted.\n";
// No object has it, whatever its etags are made of.
constexpr std::string_view kNoEtag = "00000000000000000000000000000000";
constexpr int kQuickRaces = 3, kQuickRacers = 8;

// A trial changes nothing that anybody needs. So what may have been applied is to be tried again, and so is what met
// bytes that were damaged on their way, or an upload that has just expired.
Error of_trial(const Error& error) {
  const bool passing = error.kind() == ErrorKind::maybe_done || error.kind() == ErrorKind::not_found ||
                       error.kind() == ErrorKind::corrupt;
  return passing ? error.as(ErrorKind::retry_later) : error;
}

}  // namespace

std::string S3Store::probe_key() const { return full_key(".cairn-probe"); }

Error S3Store::no_conditions() const {
  const bool at_once = dialect_.now().put_new == Condition::not_at_once;
  return Error(
      ErrorKind::unsupported,
      fmt::format("{}: this store does not refuse to replace objects{}, so two writers could overwrite each other's "
                  "history: if nobody else ever writes to this prefix, say so with accept_single_writer=true in "
                  "the URL; 'cairn store probe' tells more",
                  url(), at_once ? " that are put at the same moment" : ""));
}

Result<void> S3Store::ready_to_write() {
  MutexLock lock(learning_);
  if (dialect_.now().put_new == Condition::unknown) {
    CAIRN_ASSIGN(const Condition condition, try_put_new());
    dialect_.learn(&Dialect::put_new, condition);
  }
  const bool works = dialect_.now().put_new == Condition::honoured;
  if (!works && !client_.settings().location.options.accept_single_writer) return no_conditions();
  return {};
}

Result<void> S3Store::learn_put_if() {
  MutexLock lock(learning_);
  if (dialect_.now().put_if == Condition::unknown) {
    CAIRN_ASSIGN(const Condition condition, try_put({{"If-Match", fmt::format("\"{}\"", kNoEtag)}}));
    dialect_.learn(&Dialect::put_if, condition);
  }
  const bool works = dialect_.now().put_if == Condition::honoured;
  if (works || client_.settings().location.options.accept_single_writer) return {};
  return Error(
      ErrorKind::unsupported,
      fmt::format("{}: this store cannot replace an object only if it still is the one that is known", url()));
}

Result<void> S3Store::learn_complete() {
  MutexLock lock(learning_);
  if (dialect_.now().complete != Condition::unknown) return {};
  CAIRN_ASSIGN(const Condition condition, try_complete());
  dialect_.learn(&Dialect::complete, condition);
  return {};
}

// The probe object is there, or (at the very first time) is put here: only the second trial tells.
Result<Condition> S3Store::try_put_new() {
  Result<Condition> condition = try_put({{"If-None-Match", "*"}});
  if (!condition && client_.settings().location.options.create_bucket && !bucket_seen_) {
    const auto there = bucket_exists();
    if (!there) return condition;
    if (!*there) CAIRN_TRY(make_bucket());  // or else somebody made it just now
    condition = try_put({{"If-None-Match", "*"}});
  }
  if (!condition || *condition != Condition::ignored) return condition;
  condition = try_put({{"If-None-Match", "*"}});
  return condition && *condition == Condition::honoured ? try_race() : condition;
}

Result<Condition> S3Store::try_race() {
  for (int race = 0; race < kQuickRaces; ++race) {
    const std::string key = fmt::format("{}-{}", probe_key(), new_token());
    const int winners = winners_of_race(key);
    (void)remove_at(key);  // keys that may not delete leave it behind
    if (winners < 2) continue;
    CAIRN_TRY(remove_at(probe_key()));
    return Condition::not_at_once;
  }
  return Condition::honoured;
}

// How many are told that they put it. Nothing is sent twice, so more than one is proof, whatever else goes wrong.
int S3Store::winners_of_race(const std::string& key) {
  std::atomic<int> winners = 0;
  std::latch start(kQuickRacers), done(kQuickRacers);
  const auto pool = make_thread_pool(kQuickRacers);
  for (int i = 0; i < kQuickRacers; ++i) {
    const std::string token = new_token();
    pool->run([&, token] {
      const BytesSource body(as_bytes(kProbeText));
      Call call = put_call(key, body, token);
      call.headers.emplace_back("If-None-Match", "*");
      start.arrive_and_wait();
      const auto response = client_.send(call);
      if (response && is_success(*response)) ++winners;
      done.count_down();
    });
  }
  done.wait();
  return winners;
}

Result<Condition> S3Store::try_put(const HeaderFields& condition) {
  const BytesSource body(as_bytes(kProbeText));
  Call call = put_call(probe_key(), body, new_token());
  call.headers.insert(call.headers.end(), condition.begin(), condition.end());
  const auto response = send_body(call, Checksums::any);
  if (!response) return of_trial(response.error());
  if (is_success(*response)) {
    bucket_seen_ = true;
    return Condition::ignored;
  }
  Error error = client_.error_of(*response, call);
  // 404 is what Amazon answers to If-Match for an object that is not there. 409 proves nothing: it speaks of a race.
  if (response->status == 412 || error.kind() == ErrorKind::not_found) {
    bucket_seen_ = true;
    return Condition::honoured;
  }
  if (error.kind() == ErrorKind::unsupported) return Condition::refused;
  return of_trial(error);
}

// What trials of processes that died in the middle have left: no listing shows it to anybody else. Not those of the
// last hour, which may be under way.
void S3Store::end_old_trials() {
  constexpr std::int64_t kHourMs = 3'600'000;
  Call call;
  call.action = Action::list;
  call.query = {{"uploads", ""}, {"encoding-type", "url"}, {"prefix", probe_key()}};
  const auto response = expect_whole(call);
  const auto page = response ? parse_uploads(response->body) : Result<UploadsPage>(response.error());
  if (!page) return;
  for (const UploadInfo& upload : page->uploads) {
    const bool is_trial = upload.key.starts_with(probe_key());
    if (is_trial && upload.begun_ms < client_.store_wall_ms() - kHourMs) (void)abort_at(upload.key, upload.upload_id);
  }
}

Result<Condition> S3Store::try_complete() {
  const std::string key = probe_key();
  const BytesSource body(as_bytes(kProbeText));
  end_old_trials();
  // Somebody may have deleted it, as it says that one may.
  CAIRN_TRY(try_put({{"If-None-Match", "*"}}));
  auto id = begin_upload_at(key, new_token());
  if (!id) return of_trial(id.error());
  const auto answer = [&]() -> Result<HttpResponse> {
    CAIRN_ASSIGN(const PartInfo part, put_part_at(key, *id, 1, body));
    return send_complete(key, *id, {&part, 1});
  }();
  if (!answer) {
    (void)abort_at(key, *id);
    return of_trial(answer.error());
  }
  const Refusal refusal = refusal_of(*answer);
  if (is_success(*answer) && !refusal.has_document) return Condition::ignored;
  (void)abort_at(key, *id);
  if (refusal.status == 412) return Condition::honoured;
  Call call;
  call.action = Action::write;
  call.key = key;
  const Error error = client_.error_of(*answer, call);
  if (error.kind() == ErrorKind::unsupported) return Condition::refused;
  return of_trial(error);
}

Result<bool> S3Store::bucket_exists() {
  Call call;
  call.method = "HEAD";
  CAIRN_ASSIGN(const HttpResponse response, client_.send(call));
  if (response.status != 404) bucket_seen_ = true;  // also when it may not be looked at
  return response.status != 404;
}

Result<void> S3Store::make_bucket() {
  static constexpr std::array<std::string_view, 3> kThere{"BucketAlreadyOwnedByYou", "BucketAlreadyExists",
                                                          "OperationAborted"};
  const std::string region = client_.region();
  const bool named = client_.settings().provider == Settings::Provider::amazon && region != "us-east-1";
  const std::string document = bucket_document(region);
  const BytesSource body(as_bytes(document));
  Call call;
  call.action = Action::make_bucket;
  call.method = "PUT";
  if (named) {
    call.body = &body;
    call.headers.emplace_back("Content-Type", "application/xml");
  }
  CAIRN_ASSIGN(const HttpResponse response, client_.send(call));
  if (is_success(response)) return {};
  const Refusal refusal = refusal_of(response);
  // Somebody else made it just now, or it has been there all the time: the next request shows whether it can be used.
  if (std::find(kThere.begin(), kThere.end(), refusal.document.code) != kThere.end()) return {};
  return of_trial(client_.error_of(response, call));
}

}  // namespace cairn::s3
