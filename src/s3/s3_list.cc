// Listing: objects, parts, uploads. S3 gives at most 1,000 of each a page.
//
// A bucket may hold what a store never put there (a console's "folder/" objects, somebody else's keys), and this
// store's own small objects under reserved names. Both are left out, so a page of the server's may be empty although
// there is more.
#include <fmt/format.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include "s3/s3_store.h"
#include "s3/xml.h"
#include "store/key.h"

namespace cairn::s3 {

namespace {

constexpr int kMostAPage = 1000;
constexpr std::uint64_t kMaxDocumentBytes = 16ull << 20;
// No honest listing needs more: 10,000 parts are 10 pages, and uploads that were left behind are few.
constexpr int kMaxPages = 10'000;

}  // namespace

// Goes on from page to page until there is enough, and one more than that: only then is it known whether there is
// more that counts. A server that does not know start-after begins at the beginning; what lies before it is passed
// over.
Result<ListPage> S3Store::list(std::string_view prefix, std::string_view start_after, int limit) {
  CAIRN_TRY(check_prefix(prefix));
  const std::string begins_with = full_key(prefix);
  const std::size_t enough = limit > 0 ? static_cast<std::size_t>(limit) : 0;
  ListPage page;
  std::string after = start_after.empty() ? std::string() : full_key(start_after);
  std::string token;
  for (int pages = 0; pages < kMaxPages; ++pages) {
    const std::size_t missing = enough == 0 ? kMostAPage : enough + 1 - page.objects.size();
    auto next = list_once(prefix, after, token, std::min<std::size_t>(missing, kMostAPage));
    // Where to go on was the store's own word: if it does not know it, that came garbled.
    if (!next && !token.empty() && next.error().kind() == ErrorKind::invalid) {
      return next.error().as(ErrorKind::corrupt);
    }
    CAIRN_ASSIGN(ObjectsPage got, std::move(next));
    const std::string last = got.objects.empty() ? std::string() : got.objects.back().key;
    for (ObjectInfo& object : got.objects) {
      if (!object.key.starts_with(begins_with)) return not_asked_for(object.key);
      const std::string_view key = key_of(object.key);
      if (!key.starts_with(prefix) || key <= start_after || !is_key(key)) continue;
      if (!page.objects.empty() && key <= page.objects.back().key) return out_of_order(prefix, key);
      object.key = std::string(key);
      page.objects.push_back(std::move(object));
    }
    page.more = got.truncated;
    if (enough > 0 && page.objects.size() > enough) {
      page.objects.resize(enough);
      page.more = true;
      return page;
    }
    if (!got.truncated || (enough == 0 && !page.objects.empty())) return page;
    if (got.next_token.empty() && last <= after) break;
    token = got.next_token;
    after = last;
  }
  return Error(ErrorKind::corrupt, fmt::format("{}: the list of '{}' has no end", url(), prefix));
}

// A store that lists in another order cannot be used; but it may have been a bit of a name that was flipped on its way.
Error S3Store::out_of_order(std::string_view prefix, std::string_view key) const {
  return Error(ErrorKind::corrupt,
               fmt::format("{}: '{}' is listed in another order than that of bytes, at '{}': if it happens again, this "
                           "store cannot be used",
                           url(), prefix, key));
}

Error S3Store::not_asked_for(std::string_view full) const {
  return Error(ErrorKind::corrupt,
               fmt::format("{}: the store lists what was not asked for: '{}'", url(), std::string(full)));
}

Result<ObjectsPage> S3Store::list_once(std::string_view prefix, const std::string& after, const std::string& token,
                                       std::size_t limit) {
  Call call;
  call.action = Action::list;
  call.query = {{"list-type", "2"}, {"encoding-type", "url"}, {"max-keys", std::to_string(limit)}};
  if (const std::string full = full_key(prefix); !full.empty()) call.query.emplace_back("prefix", full);
  if (!token.empty()) {
    call.query.emplace_back("continuation-token", token);
  } else if (!after.empty()) {
    call.query.emplace_back("start-after", after);
  }
  call.max_body_bytes = kMaxDocumentBytes;
  auto response = expect_whole(call);
  if (!response && client_.settings().location.options.create_bucket && !bucket_seen_) {
    // A replica begins with a look at what is there: that has to find an empty bucket, too.
    CAIRN_ASSIGN(const bool there, bucket_exists());
    if (!there) CAIRN_TRY(make_bucket());  // or else somebody made it just now
    response = expect_whole(call);
  }
  if (!response) return response.error();
  auto page = parse_objects(response->body);
  if (!page) return page.error().with(url());
  return page;
}

// A list that broke off is not a shorter list.
Result<HttpResponse> S3Store::expect_whole(const Call& call) {
  CAIRN_ASSIGN(HttpResponse response, client_.expect(call));
  bucket_seen_ = true;
  if (response.whole) return response;
  return Error(call.action == Action::write ? ErrorKind::maybe_done : ErrorKind::retry_later,
               fmt::format("{}: the store's answer broke off", client_.name_of(call.key)));
}

Result<std::vector<PartInfo>> S3Store::list_parts(std::string_view key, std::string_view upload_id) {
  CAIRN_TRY(check_key(key));
  CAIRN_TRY(check_length(key));
  CAIRN_TRY(check_upload_id(key, upload_id));
  std::vector<PartInfo> parts;
  std::string marker;
  for (int pages = 0; pages < kMaxPages; ++pages) {
    CAIRN_ASSIGN(PartsPage page, list_parts_once(full_key(key), upload_id, marker, kMostAPage));
    parts.insert(parts.end(), page.parts.begin(), page.parts.end());
    const auto disorder = std::adjacent_find(
        parts.begin(), parts.end(), [](const PartInfo& a, const PartInfo& b) { return a.number >= b.number; });
    if (disorder != parts.end())
      return Error(ErrorKind::corrupt, fmt::format("{}: its parts are listed out of order", key));
    if (!page.truncated) return parts;
    if (page.parts.empty()) break;
    marker = page.next_marker.empty() ? std::to_string(parts.back().number) : page.next_marker;
  }
  return Error(ErrorKind::corrupt, fmt::format("{}: the list of its parts has no end", key));
}

Result<PartsPage> S3Store::list_parts_once(const std::string& full, std::string_view upload_id,
                                           const std::string& marker, int limit) {
  Call call;
  call.action = Action::list;
  call.key = full;
  call.query = {{"uploadId", std::string(upload_id)}, {"max-parts", std::to_string(limit)}};
  call.headers = client_.settings().object_bytes;
  if (!marker.empty()) call.query.emplace_back("part-number-marker", marker);
  call.max_body_bytes = kMaxDocumentBytes;
  CAIRN_ASSIGN(const HttpResponse response, expect_whole(call));
  return parse_parts(response.body);
}

Result<std::vector<UploadInfo>> S3Store::list_uploads(std::string_view prefix) {
  CAIRN_TRY(check_prefix(prefix));
  std::vector<UploadInfo> uploads;
  std::string key_marker, id_marker;
  for (int pages = 0; pages < kMaxPages; ++pages) {
    Call call;
    call.action = Action::list;
    call.query = {{"uploads", ""}, {"encoding-type", "url"}, {"max-uploads", std::to_string(kMostAPage)}};
    if (const std::string full = full_key(prefix); !full.empty()) call.query.emplace_back("prefix", full);
    if (!key_marker.empty()) call.query.emplace_back("key-marker", key_marker);
    if (!id_marker.empty()) call.query.emplace_back("upload-id-marker", id_marker);
    call.max_body_bytes = kMaxDocumentBytes;
    CAIRN_ASSIGN(const HttpResponse response, expect_whole(call));
    auto page = parse_uploads(response.body);
    if (!page) return page.error().with(url());
    for (UploadInfo& upload : page->uploads) {
      const std::string_view key = key_of(upload.key);
      if (!key.starts_with(prefix) || !is_key(key)) continue;
      uploads.push_back({std::string(key), std::move(upload.upload_id), upload.begun_ms});
    }
    if (!page->truncated || (page->next_key.empty() && page->next_id.empty())) {
      std::sort(uploads.begin(), uploads.end(), [](const UploadInfo& a, const UploadInfo& b) {
        return std::tie(a.key, a.upload_id) < std::tie(b.key, b.upload_id);
      });
      return uploads;
    }
    key_marker = page->next_key;
    id_marker = page->next_id;
  }
  return Error(ErrorKind::corrupt, fmt::format("{}: the list of unfinished uploads has no end", url()));
}

}  // namespace cairn::s3
