// The one place that knows all stores.
//
// An S3 store is three: one that makes requests, around it one that repeats what failed, around that one that takes
// large objects apart.

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <string>

#include "base/clock.h"
#include "cairn/layer.h"
#include "cairn/store.h"
#include "s3/connect.h"
#include "s3/uri.h"
#include "store/directory_store.h"
#include "store/file_url.h"

namespace cairn {

namespace {

// "s3" of "s3://bucket"; empty: it is a path. A path may hold "://" later on, after a '/'.
std::string scheme_of(std::string_view url) {
  const std::size_t end = url.find("://");
  if (end == std::string_view::npos || end == 0) return {};
  std::string scheme(url.substr(0, end));
  std::transform(scheme.begin(), scheme.end(), scheme.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  const bool good = scheme.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789+.-") == std::string::npos;
  return good ? scheme : std::string();
}

}  // namespace

Result<std::unique_ptr<Store>> open_store(std::string_view url, const S3Options& s3, StoreUse use) {
  const std::string scheme = scheme_of(url);
  if (scheme.empty()) return make_directory_store(url, use);
  if (scheme == "file") {
    CAIRN_ASSIGN(const std::string path, path_of_file_url(url));
    return make_directory_store(path, use);
  }
  if (scheme == "s3") {
    CAIRN_ASSIGN(s3::Connection connection, s3::connect(url, s3));
    return std::move(connection.store);
  }
  return Error(
      ErrorKind::invalid,
      fmt::format("'{}': stores of the kind '{}' are not known: use s3://bucket/prefix, file:///path or a path", url,
                  scheme));
}

Result<std::unique_ptr<Store>> open_layer_store(const LayerStorage& storage, S3Options s3) {
  if (storage.url.empty() == storage.bucket.empty()) {
    return Error(ErrorKind::invalid, storage.url.empty() ? "where layers lie has to be named: a URL or a bucket"
                                                         : "a URL and a bucket were both given: give one of them");
  }
  if (!storage.region.empty()) s3.region = storage.region;
  if (!storage.endpoint.empty()) s3.endpoint = storage.endpoint;
  if (!storage.url.empty()) return open_store(storage.url, s3);
  if (storage.bucket.find_first_of("/?#") != std::string::npos) {
    return Error(ErrorKind::invalid, fmt::format("'{}' cannot be a bucket: what lies in it is for the prefix",
                                                 storage.bucket));
  }
  return open_store(fmt::format("s3://{}/{}", storage.bucket, s3::percent_encode(storage.prefix, s3::Slash::keep)), s3);
}

}  // namespace cairn
