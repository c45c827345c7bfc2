#include "layer/plan_writer.h"

#include "layer/catalogue_rows.h"

namespace cairn::layer {

PlanWriter::~PlanWriter() {
  if (begun_ && !finished_) (void)catalogue_.database().execute("ROLLBACK");
}

Result<void> PlanWriter::begin() {
  if (begun_) return {};
  CAIRN_TRY(catalogue_.database().execute("BEGIN IMMEDIATE"));
  begun_ = true;
  CAIRN_ASSIGN(stamp_, catalogue_.database().prepare(
                           "UPDATE layer_scan_row SET proof = ?3, traits = ?4, "
                           "inode = ?5, ctime_ns = ?6, mtime_ns = ?7, size = ?8, "
                           "wal_inode = ?9, wal_ctime_ns = ?10, wal_mtime_ns = ?11, wal_size = ?12 "
                           "WHERE container = ?1 AND key = ?2"));
  return {};
}

Result<void> PlanWriter::begin_plan() {
  if (plan_begun_) return {};
  CAIRN_TRY(begin());
  CAIRN_TRY(drop_plan(catalogue_));
  plan_begun_ = true;
  sqlite::LocalDatabase& database = catalogue_.database();
  CAIRN_ASSIGN(insert_, database.prepare(
                            "INSERT INTO layer_scan_plan(container, key, action, kind, mark, traits, size, link) "
                            "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT(container, key) DO UPDATE SET "
                            "action = ?3, kind = ?4, mark = ?5, traits = ?6, size = ?7, link = ?8"));
  CAIRN_ASSIGN(forget_, database.prepare("UPDATE layer_scan_plan SET forgotten = "
                                         "CAST(coalesce(forgotten, x'') || ?3 || x'00' AS BLOB) "
                                         "WHERE container = ?1 AND key = ?2"));
  CAIRN_ASSIGN(find_, database.prepare("SELECT 1 FROM layer_scan_plan WHERE container = ?1 AND key = ?2"));
  return {};
}

Result<void> PlanWriter::add(const PlanRow& row) {
  ++rows_;
  bytes_ += row.size_bytes;
  if (making_ == Making::nothing) return {};
  CAIRN_TRY(begin_plan());
  std::int64_t traits = 0;
  if (row.is_database) traits |= kDatabase;
  if (row.is_below) traits |= kBelow;
  if (row.is_mount_point) traits |= kMountPoint;
  if (row.has_xattr_whiteouts) traits |= kXattrWhiteouts;
  return insert_.run(catalogue_.container(), as_bytes(row.key), static_cast<int>(row.action),
                     static_cast<int>(row.kind), static_cast<int>(row.mark), traits, row.size_bytes,
                     as_bytes(row.link_target));
}

Result<void> PlanWriter::put(const PlanRow& row) { return add(row); }

Result<void> PlanWriter::whiteout(std::string_view key, Mark mark) {
  PlanRow row;
  row.key = key;
  row.action = PlanAction::whiteout;
  row.kind = EntryKind::whiteout;
  row.mark = mark;
  return add(row);
}

Result<void> PlanWriter::opaque(std::string_view directory_key, Mark mark) {
  PlanRow row;
  row.key = std::string(directory_key) + '\0';
  row.action = PlanAction::opaque;
  row.kind = EntryKind::opaque;
  row.mark = mark;
  return add(row);
}

Result<void> PlanWriter::forget(const PlanRow& directory, std::string_view name) {
  CAIRN_ASSIGN(const bool planned, has(directory.key));
  if (!planned) CAIRN_TRY(put(directory));
  if (making_ == Making::nothing) return {};
  return forget_.run(catalogue_.container(), as_bytes(directory.key), as_bytes(name));
}

Result<bool> PlanWriter::has(std::string_view key) {
  if (!plan_begun_) return false;
  CAIRN_TRY(find_.begin(catalogue_.container(), as_bytes(key)));
  CAIRN_ASSIGN(const bool found, find_.next());
  find_.reset();
  return found;
}

Result<void> PlanWriter::note_stamp(const CatalogueRow& row) {
  CAIRN_TRY(begin());
  const auto run = [&](const auto&... wal) {
    return stamp_.run(catalogue_.container(), as_bytes(row.key), static_cast<int>(row.proof), traits_of(row),
                      row.stamp.inode, row.stamp.ctime_ns, row.stamp.mtime_ns, row.stamp.size_bytes, wal...);
  };
  if (!row.wal) return run(nullptr, nullptr, nullptr, nullptr);
  return run(row.wal->inode, row.wal->ctime_ns, row.wal->mtime_ns, row.wal->size_bytes);
}

Result<void> PlanWriter::finish(SyncKind kind, std::int64_t began_ms, std::uint64_t sockets) {
  if (!begun_) return {};
  sqlite::LocalDatabase& database = catalogue_.database();
  if (plan_begun_) {
    CAIRN_ASSIGN(auto head, database.prepare(
                                "INSERT INTO layer_scan_head(container, kind, began_ms, rows, bytes, sockets) "
                                "VALUES (?1, ?2, ?3, ?4, ?5, ?6)"));
    CAIRN_TRY(head.run(catalogue_.container(), static_cast<int>(kind), began_ms, rows_, bytes_, sockets));
  }
  CAIRN_TRY(database.execute("COMMIT"));
  finished_ = true;
  return {};
}

}  // namespace cairn::layer
