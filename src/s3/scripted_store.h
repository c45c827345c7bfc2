// For tests: a store whose answers come out of a script.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "s3/s3_store.h"
#include "s3/scripted_http.h"

namespace cairn::s3 {

inline Dialect all_honoured() {
  Dialect dialect;
  dialect.put_new = dialect.put_if = dialect.complete = Condition::honoured;
  return dialect;
}

class TestClock final : public Clock {
 public:
  Time now() override { return {wall_ms, 0}; }
  std::int64_t wall_ms = *parse_time("2026-11-21T12:00:00Z");
};

struct ScriptedStore {
  explicit ScriptedStore(const std::string& options = "?endpoint=http://h", const Dialect& known = all_honoured(),
                   const S3Options& s3 = {})
      : store(*make_settings(
                  *parse_s3_url("s3://bkt/pre" + options, s3),
                  [](const std::string&) { return std::optional<std::string>(); }, ""),
              S3Parts{http, credentials, clock, random}, known) {}
  ~ScriptedStore() { EXPECT_TRUE(http.is_over()) << "more answers than questions"; }

  Result<std::string> put_new(std::string_view text = "x") { return store.put_new("k", BytesSource(as_bytes(text))); }
  Result<std::string> put_if(std::string_view etag = "old") {
    return store.put_if("k", BytesSource(as_bytes("x")), etag);
  }
  const Asked& asked(std::size_t i) const { return http.asked.at(i); }

  ScriptedHttp http;
  FixedCredentials credentials;
  TestClock clock;
  SeededRandom random{1};
  S3Store store;
};

inline ScriptedHttp::Headers object(const std::string& etag, const std::string& length) {
  return {{"etag", "\"" + etag + "\""}, {"content-length", length}};
}

// A page of a listing.
inline std::string listing(const std::vector<std::string>& keys, const char* truncated, const char* more = "") {
  std::string text = "<ListBucketResult><IsTruncated>" + std::string(truncated) + "</IsTruncated>" + more;
  for (const std::string& key : keys)
    text += "<Contents><Key>" + key + "</Key><Size>1</Size><ETag>e</ETag></Contents>";
  return text + "</ListBucketResult>";
}

}  // namespace cairn::s3
