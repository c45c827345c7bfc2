#include "s3/usage.h"

#include <string_view>

namespace cairn::s3 {

namespace {

constexpr int kFirstServerError = 500;

bool asks_for(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const std::string_view part = query.substr(0, query.find('&'));
    if (part.substr(0, part.find('=')) == name) return true;
    query.remove_prefix(std::min(part.size() + 1, query.size()));
  }
  return false;
}

std::uint64_t StoreUsage::*kind_of(const HttpRequest& request) {
  const std::string_view target = request.target;
  const std::string_view query = target.substr(std::min(target.find('?'), target.size()));
  const std::string_view asked = query.empty() ? query : query.substr(1);
  if (request.method == "DELETE") return &StoreUsage::deletes;
  if (request.method == "POST" && asks_for(asked, "delete")) return &StoreUsage::deletes;
  if (request.method == "PUT" || request.method == "POST") return &StoreUsage::writes;
  if (request.method == "GET" &&
      (asks_for(asked, "list-type") || asks_for(asked, "uploads") || asks_for(asked, "uploadId"))) {
    return &StoreUsage::lists;
  }
  return &StoreUsage::reads;
}

}  // namespace

Result<HttpResponse> UsageCounter::send(const HttpRequest& request) {
  std::uint64_t taken_bytes = 0;  // of a body that does not go into the answer
  Result<HttpResponse> response =
      request.take == nullptr ? inner_->send(request) : send_counting(request, taken_bytes);
  MutexLock lock(mutex_);
  if (!response || response->status >= kFirstServerError) {
    ++usage_.unanswered;
    return response;
  }
  ++(usage_.*kind_of(request));
  if (request.body != nullptr) usage_.sent_bytes += request.body->size_bytes();
  usage_.received_bytes += taken_bytes + response->body.size();
  return response;
}

Result<HttpResponse> UsageCounter::send_counting(const HttpRequest& request, std::uint64_t& taken_bytes) {
  const TakeBody take = [&](const HttpResponse& head, ByteView piece) {
    taken_bytes += piece.size();
    return (*request.take)(head, piece);
  };
  HttpRequest counted = request;
  counted.take = &take;
  return inner_->send(counted);
}

StoreUsage UsageCounter::usage() const {
  MutexLock lock(mutex_);
  return usage_;
}

}  // namespace cairn::s3
