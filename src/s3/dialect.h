// How one store differs from Amazon S3: the one place for it. Nothing here is guessed from a host's name; it is found
// out by trying (s3_learn.cc before what must be known, the operations themselves on the way, `cairn store probe` all
// at once).
#pragma once

#include <string_view>

#include "base/mutex.h"
#include "store/key.h"

namespace cairn::s3 {

// What a store does with a condition on a request that does not hold.
enum class Condition {
  unknown,
  honoured,  // 412
  not_at_once,  // 412, but of several at the same moment more than one is let through
  ignored,   // does it all the same
  refused,   // says that it cannot (501), whether the condition holds or not
};

// Seen at: Ceph 16 and 18 with If-Match on a put.
enum class EtagQuotes { with, without };

// Of bodies that are not signed. Believed only when the answer repeats it.
enum class BodyChecksum {
  crc64nvme,
  crc32c,
  none,  // bodies are signed instead, which every store checks
};

struct Dialect {
  Condition put_new = Condition::unknown;   // If-None-Match: * on a put
  Condition put_if = Condition::unknown;    // If-Match on a put
  Condition complete = Condition::unknown;  // If-None-Match: * on completing an upload
  EtagQuotes put_if_quotes = EtagQuotes::with;
  BodyChecksum checksum = BodyChecksum::crc64nvme;
  bool checksum_echoed = false;
  bool copies_parts = true;
  bool removes_many = true;  // batches of deletions
  int max_parts = kMaxPartNumber;  // of an upload
  bool get_if_match = true;  // If-Match on a ranged get holds when it should
};

// Shared by all threads of a store.
class LearnedDialect {
 public:
  LearnedDialect() = default;
  explicit LearnedDialect(const Dialect& known) : dialect_(known) {}

  Dialect now() const EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return dialect_;
  }
  template <class T>
  void learn(T Dialect::* trait, T value) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    dialect_.*trait = value;
  }

 private:
  mutable Mutex mutex_;
  Dialect dialect_ GUARDED_BY(mutex_);
};

// One row for everything in which stores are known to differ, with what it costs where it is missing.
struct Trait {
  std::string_view name;  // for programs
  std::string_view what;  // for people
  std::string_view costs;
  std::string_view seen;  // where it was found missing
};

inline constexpr Trait kTraits[] = {
    {"create_only", "create-only put (If-None-Match: *)",
     "nothing keeps two writers from overwriting each other: Cairn refuses to write here unless you say, with "
     "accept_single_writer=true, that nobody else ever does",
     "Ceph 16 and 18 in versioned buckets (ignored), Swift 2.30 (501)"},
    {"create_only_race", "create-only put, many at once",
     "of two writers that begin at the same moment both may believe to be the only one: Cairn refuses to write here "
     "unless you say, with accept_single_writer=true, that nobody else ever does",
     "Swift 2.38"},
    {"compare_and_swap", "replacing what is known (If-Match)",
     "the summary of a replica is not kept up to date, and nothing that relies on a lease works", "Swift (501)"},
    {"if_match_quoted", "If-Match with the quotes of the standard", "nothing: it is sent without them",
     "Ceph 16 and 18"},
    {"complete_create_only", "create-only completion of large objects",
     "a large object costs three more small requests, and one of up to 5 GiB is sent in one stream instead of in "
     "parallel",
     "Ceph 16 and 18 (ignored)"},
    {"multipart", "uploads in parts", "databases whose snapshot is larger than 5 GiB cannot be replicated", ""},
    {"many_parts", "uploads of 10,000 parts",
     "the parts of large snapshots and layers are larger, and so is the memory that they take on their way: raise its "
     "limit, if it is yours",
     "Swift (1,000: max_upload_part_num, max_manifest_segments)"},
    {"list_parts", "listing the parts of an upload", "an upload that was interrupted starts over", ""},
    {"list_uploads", "listing unfinished uploads", "what an interrupted upload left behind stays, and costs storage",
     ""},
    {"copy_part", "copying parts on the server", "unchanged pieces of large snapshots are sent again",
     "Google Cloud Storage"},
    {"checksum", "verifying CRC64NVME of what arrives",
     "bodies are signed with SHA-256 instead, which costs processor time", "Ceph 16 and 18, Swift, B2"},
    {"signed_payload", "verifying the signature of what arrives",
     "nothing notices bytes that change on their way to the store", ""},
    {"ranges", "reading a part of an object", "restores fetch far more than they need, or do not work at all", ""},
    {"list_start_after", "listing from a key on", "listings of large replicas are slow", ""},
    {"list_order", "listing in the order of bytes", "restores do not work: Cairn refuses such a listing",
     "S3 Express One Zone"},
    {"remove_many", "deleting many objects with one request", "each object that goes takes a request of its own",
     "Google Cloud Storage"},
    {"remove", "deleting", "what is no longer needed stays, and costs storage", ""},
};

}  // namespace cairn::s3
