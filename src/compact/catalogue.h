// What is known of the replicas that are compacted from here: their objects, and what the objects' footers say. One
// SQLite file, which several processes may share.
//
// It is a cache. What is read from it may be out of date, and is checked where it counts: a merge opens its inputs, a
// removal lists the store. Rows are keyed by replica, and a replica by its URL together with its lineage.
//
// Errors: corrupt, when the file is damaged (the sentence says what to do); invalid: it is no catalogue, or one of a
// newer Cairn; busy, denied, io.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "cairn/error.h"
#include "restore/points.h"
#include "sqlite/local_database.h"

namespace cairn::compact {

struct KnownReplica {
  std::int64_t id = 0;
  std::string url;
  Id128 lineage;
  std::int64_t added_ms = 0;
  std::int64_t synced_ms = 0;  // 0: never to its end
};

struct KnownObject {
  restore::ReadObject read;      // without a footer when there is a problem
  std::string etag;
  std::int64_t modified_ms = 0;  // by the store's clock; 0: put from here, and not yet seen in a list
  std::string problem;           // why it is not used
};

class Catalogue {
 public:
  static Result<std::unique_ptr<Catalogue>> open(const std::string& path);

  Result<std::vector<KnownReplica>> replicas();  // by URL
  Result<std::optional<KnownReplica>> find(std::string_view url);
  // Another history at the same URL takes the place of what was known of the first.
  Result<KnownReplica> add(std::string_view url, const Id128& lineage, std::int64_t now_ms);
  Result<void> remove(const KnownReplica& replica);
  Result<void> set_synced(const KnownReplica& replica, std::int64_t now_ms);

  Result<std::vector<KnownObject>> objects(const KnownReplica& replica);  // by key
  // In one transaction. A replica that somebody has removed meanwhile stays removed.
  Result<void> update(const KnownReplica& replica, const std::vector<KnownObject>& put,
                      const std::vector<std::string>& gone);

 private:
  Catalogue(std::string path, std::unique_ptr<sqlite::LocalDatabase> database)
      : path_(std::move(path)), database_(std::move(database)) {}
  Result<void> check_format();
  Result<void> begin_anew();
  Result<void> forget(std::int64_t id);
  // What SQLite says of a damaged file, as a sentence that helps.
  template <class T>
  Result<T> told(Result<T> result) const;

  std::string path_;
  std::unique_ptr<sqlite::LocalDatabase> database_;
};

// A footer as far as it is kept: without the size of the data. With a checksum.
Bytes encode_footer(const segment::Footer& footer);
Result<segment::Footer> decode_footer(ByteView bytes);  // corrupt

}  // namespace cairn::compact
