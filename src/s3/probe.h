// What an S3 store can do, found out by trying, and what it means where something is missing.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cairn/error.h"
#include "cairn/store.h"

namespace cairn::s3 {

struct ProbeFinding {
  enum class Outcome {
    works,
    missing,
    unknown,  // it could not be tried, because of something before it or for want of rights
  };
  std::string name;  // stable, for programs: "create_only", "complete_create_only", "copy_part", ...
  std::string what;  // for people: "create-only put"
  Outcome outcome = Outcome::unknown;
  std::string detail;  // what was seen: "of 8 writers at once, 3 were told that they had won"
  std::string costs;   // what it costs that this is missing, in words; empty: nothing is missing
};
constexpr const char* name_of(ProbeFinding::Outcome outcome) {
  return outcome == ProbeFinding::Outcome::works     ? "works"
         : outcome == ProbeFinding::Outcome::missing ? "missing"
                                                     : "unknown";
}

struct ProbeReport {
  std::string url;      // "s3://bucket/prefix"
  std::string service;  // "https://127.0.0.1:9000", what answers
  std::string region;   // that requests are signed for; the server's own where it differs from what was asked for
  std::string server;   // as it calls itself in its answers; empty: it does not
  std::vector<ProbeFinding> findings;  // in the order in which they were tried
  bool usable = false;                 // Cairn can keep replicas there, with the options as they were given
  std::string verdict;                 // one sentence
};

// Tries everything on some small objects below the URL's prefix, in ".cairn-probe-<random>/", and removes them again.
// Errors: as any call of a store, when it cannot even be begun: no such bucket, wrong keys, ...
Result<ProbeReport> probe(std::string_view url, const S3Options& options = {});

}  // namespace cairn::s3
