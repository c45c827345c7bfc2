// What an answer that is no success means for the caller, and for a person.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "cairn/error.h"
#include "s3/http.h"
#include "s3/xml.h"

namespace cairn::s3 {

// What was tried, in the words that rights are given in.
enum class Action { list, read, write, remove, make_bucket };

// About what, for messages.
struct Subject {
  Action action = Action::read;
  std::string name;  // "s3://bucket/prefix/key"
  std::string bucket;
  std::string origin;  // "https://s3.eu-central-1.amazonaws.com"
  std::string region;
  std::string key_source;            // where the keys came from: "environment"
  std::int64_t clock_offset_ms = 0;  // how far the server's clock is ahead
};

struct Refusal {
  int status = 0;
  ErrorDocument document;  // empty where there was none: always after HEAD
  bool has_document = false;
  bool has_other_body = false;  // what no S3 store would say
  bool broke_off = false;       // there may have been a document
  std::int64_t retry_after_ms = 0;
  std::string bucket_region;  // where the bucket really is; empty: it was not said

  bool is(std::string_view code) const { return document.code == code; }
};

// Of an answer of 300 and above; or of one of 200 whose body is an error document.
Refusal refusal_of(const HttpResponse& response);

// not_found only for a missing object or upload; maybe_done only where a write may have been applied.
Error error_of(const Refusal& refusal, const Subject& subject);

}  // namespace cairn::s3
