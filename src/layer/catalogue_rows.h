// How rows of the catalogue, and what a plan records, stand in their tables. For the sources
// of catalogue, plan and scan only.
#pragma once

#include <string>
#include <string_view>

#include "base/bytes.h"
#include "layer/catalogue.h"
#include "layer/manifest.h"
#include "sqlite/local_database.h"

namespace cairn::layer {

// The columns of layer_scan_row and layer_scan_written, in the order of read_row and write_row; behind container.
inline constexpr std::string_view kRowColumns =
    "key, kind, mark, proof, traits, inode, ctime_ns, mtime_ns, size, wal_inode, wal_ctime_ns, wal_mtime_ns, wal_size, "
    "header_hash, content_hash, link, blocks";
inline constexpr int kRowColumnCount = 17;

// As columns: what is a bool of a row.
enum Trait : std::int64_t {
  kShared = 1,
  kTorn = 2,
  kXattrWhiteouts = 4,
  kRedirected = 8,
  kDatabase = 16,  // of a planned row
  kBelow = 32,     // of a planned row
  kMountPoint = 64,  // of a planned row
};
std::int64_t traits_of(const CatalogueRow& row);

// `into` keeps its memory from row to row.
void read_row(const sqlite::Statement& statement, CatalogueRow& into);

// INSERT OR REPLACE of one row into `table`, its blocks in layer_scan_file `blocks` (0: none).
class RowWriter {
 public:
  static Result<RowWriter> open(const Catalogue& catalogue, std::string_view table);
  Result<void> write(const CatalogueRow& row, std::int64_t blocks);

 private:
  std::int64_t container_ = 0;
  sqlite::Statement insert_;
};

// The two ends of a plan, in a transaction of the caller's: published, or given up.
Result<void> take_over_written(Catalogue& catalogue, SyncKind kind, std::string_view object_key);
Result<void> drop_plan(Catalogue& catalogue);

// All that lies below a directory: keys from the first to before the second one. (Names hold no NUL.)
struct KeyRange {
  std::string begin, end;
};
KeyRange keys_below(std::string_view key);

}  // namespace cairn::layer
