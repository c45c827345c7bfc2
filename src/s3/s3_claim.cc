// Create-only completion where the store does not honour the condition (Ceph 16 and 18 ignore it, others refuse it).
//
// What such stores do honour is the plain conditional put; so who wants to complete an upload of a key puts a small
// claim first, create-only, under a name made of that key. With the claim in hand it looks whether the object is
// there, completes, and removes the claim. Two completions of one key can thus never both go through.
//
// The holder may have died. Its claim names its upload, and that is its fence: whoever takes the claim over aborts
// that upload first, so that a holder that was only slow finds its upload gone. A claim is taken over when its upload
// is gone anyway (the process began anew and aborted it), or when it is older than any completion takes. It is
// replaced by its etag, so of two that take it over one does.
//
// What this does not keep away is a plain put of the same key, by another writer, in the instant between the look and
// the completion. This store itself sends large bodies to such a store in one plain put (large.h), so it takes one
// writer that uploads in parts and one that does not, at the same key and instant.
#include <fmt/format.h>

#include <optional>
#include <utility>

#include "base/bytes.h"
#include "s3/answers.h"
#include "s3/checksum.h"
#include "s3/s3_store.h"

namespace cairn::s3 {

namespace {

// Longer than a completion takes, with all its repetitions.
constexpr std::int64_t kAbandonedMs = 15 * 60'000;

std::string claim_key(const Settings& settings, const std::string& full) {
  return settings.location.prefix + ".cairn-claims/" + hex(sha256(as_bytes(full)));
}

std::string claim_text(const std::string& full, std::string_view upload_id) {
  return fmt::format("{}\n{}\n", upload_id, full);
}

// Whether a claim has done its work and may go. While the outcome is open it stays, so that nobody else completes,
// and the next try finds it to be its own. When the upload is gone it may be another's claim by now; and if it is
// still ours, it names a dead upload, which stops nobody.
bool is_settled(const Result<std::string>& completed) {
  if (completed) return true;
  const ErrorKind kind = completed.error().kind();
  return kind == ErrorKind::conflict || kind == ErrorKind::invalid;
}

std::string upload_in(ByteView claim) { return std::string(as_text(claim).substr(0, as_text(claim).find('\n'))); }

}  // namespace

Result<std::string> S3Store::complete_under_claim(const std::string& full, std::string_view upload_id,
                                                  std::span<const PartInfo> parts) {
  const bool single_writer = dialect_.now().put_new != Condition::honoured;
  const std::string claimed = claim_key(client_.settings(), full);
  if (!single_writer) {
    // Whatever became of the claim, nothing has been completed; and one that is ours is found to be so the next time.
    const auto claimed_now = claim(full, upload_id);
    const bool open = !claimed_now && claimed_now.error().kind() == ErrorKind::maybe_done;
    if (!claimed_now) return open ? claimed_now.error().as(ErrorKind::retry_later) : claimed_now.error();
  }
  const auto completed = [&]() -> Result<std::string> {
    CAIRN_ASSIGN(const auto there, look(full));
    if (!there) return complete_at(full, upload_id, parts);
    // Perhaps by an earlier try of ours, whose reply was lost.
    const Error exists(ErrorKind::conflict, fmt::format("{}: the object exists already", client_.name_of(full)));
    return settle_complete(full, upload_id, parts, Outcome::refused, exists);
  }();
  if (!single_writer && is_settled(completed)) (void)remove_at(claimed);
  return completed;
}

Result<void> S3Store::claim(const std::string& full, std::string_view upload_id) {
  const std::string text = claim_text(full, upload_id);
  const BytesSource body(as_bytes(text));
  const auto put = put_new_at(claim_key(client_.settings(), full), body);
  if (put) return {};
  if (put.error().kind() == ErrorKind::conflict) return take_over(full, upload_id);
  return put.error();
}

Result<void> S3Store::take_over(const std::string& full, std::string_view upload_id) {
  const std::string claimed = claim_key(client_.settings(), full);
  const Error lost(ErrorKind::conflict,
                   fmt::format("{}: another writer is just completing it", client_.name_of(full)));
  Call call;
  call.key = claimed;
  call.headers = client_.settings().object_bytes;
  CAIRN_ASSIGN(const HttpResponse response, client_.send(call));
  if (response.status == 404) return claim(full, upload_id);  // it has just been released
  if (!is_success(response)) return client_.error_of(response, call);
  CAIRN_ASSIGN(const ObjectInfo info, info_of(response, {}, response.body.size()));
  if (!response.whole) return Error(ErrorKind::retry_later, client_.name_of(claimed) + ": the answer broke off");
  const std::string holder = upload_in(response.body);
  if (holder == upload_id) return {};  // ours: from an earlier try, or an earlier process

  CAIRN_ASSIGN(const bool alive, upload_exists(full, holder));
  if (alive) {
    if (client_.store_wall_ms() - info.modified_ms < kAbandonedMs) return lost;
    CAIRN_TRY(abort_at(full, holder));
  }
  const std::string text = claim_text(full, upload_id);
  const BytesSource body(as_bytes(text));
  auto put = put_if_at(claimed, body, info.etag);
  if (put) return {};
  return put.error().kind() == ErrorKind::conflict ? lost : put.error();
}

Result<bool> S3Store::upload_exists(const std::string& full, std::string_view upload_id) {
  if (!check_upload_id(full, upload_id)) return false;
  const auto page = list_parts_once(full, upload_id, {}, 1);
  if (page) return true;
  if (page.error().kind() == ErrorKind::not_found) return false;
  return page.error();
}

}  // namespace cairn::s3
