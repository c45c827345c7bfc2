#include "layer/catalogue.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "base/os.h"
#include "layer/catalogue_rows.h"
#include "layer/tar.h"

namespace cairn::layer {
namespace {

constexpr std::int64_t kNsPerMs = 1'000'000;
// FAT keeps times in steps of two seconds; no file system that is in use has a coarser clock.
constexpr std::int64_t kRacyNs = 2'000'000'000;

std::int64_t nanoseconds(const struct statx_timestamp& time) {
  return time.tv_sec * 1'000'000'000 + static_cast<std::int64_t>(time.tv_nsec);
}

class Refill final : public CatalogueRefill {
 public:
  explicit Refill(Catalogue& catalogue) : catalogue_(catalogue) {}
  Result<void> prepare();

  Result<void> add(const Entry& entry, std::uint64_t content_hash, Contents contents) override {
    return add_row(entry, content_hash, contents, Stamp{}, Proof::none);
  }
  Result<void> add(const Entry& entry, std::uint64_t content_hash, Contents contents, const Stamp& stamp,
                   std::int64_t looked_at_ms) override {
    return add_row(entry, content_hash, contents, stamp, proof_of(stamp, looked_at_ms));
  }
  Result<void> untouched_until(std::int64_t looked_at_ms) override {
    CAIRN_ASSIGN(auto prove, catalogue_.database().prepare(
                                 "UPDATE layer_scan_row SET proof = ?1 "
                                 "WHERE container = ?2 AND proof = ?3 AND ctime_ns < ?4"));
    return prove.run(static_cast<int>(Proof::good), catalogue_.container(), static_cast<int>(Proof::racy),
                     looked_at_ms * kNsPerMs - kRacyNs);
  }
  Result<void> add_blocks(std::string_view path, std::string_view object_key,
                          const std::vector<Block>& blocks) override {
    CAIRN_TRY(file_.begin(catalogue_.container(), object_key));
    CAIRN_TRY(file_.next());
    const std::int64_t file = file_.integer(0);
    file_.reset();
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      const Block& block = blocks[i];
      CAIRN_TRY(block_.run(file, i, block.hash, block.offset, block.compressed_bytes, block.size_bytes));
    }
    return point_.run(file, catalogue_.container(), as_bytes(sort_key(path)));
  }

 private:
  Result<void> add_row(const Entry& entry, std::uint64_t content_hash, Contents contents, const Stamp& stamp,
                       Proof proof) {
    CatalogueRow row;
    row.key = sort_key(entry.path);
    row.kind = entry.kind;
    row.mark = entry.mark;
    if (entry.kind == EntryKind::hard_link) {
      row.link_target = entry.link_target;
      row.is_shared = true;
      CAIRN_TRY(share_.run(catalogue_.container(), as_bytes(sort_key(entry.link_target))));
    }
    row.proof = proof;
    row.contents = contents;
    row.stamp = stamp;
    CAIRN_ASSIGN(row.header_hash, header_hash_of(entry));
    row.content_hash = content_hash;
    return rows_.write(row, 0);
  }

  Catalogue& catalogue_;
  RowWriter rows_;
  sqlite::Statement file_, block_, point_, share_;
};

Result<void> Refill::prepare() {
  CAIRN_ASSIGN(rows_, RowWriter::open(catalogue_, "layer_scan_row"));
  const auto one = [&](sqlite::Statement& into, std::string_view sql) -> Result<void> {
    CAIRN_ASSIGN(into, catalogue_.database().prepare(sql));
    return {};
  };
  CAIRN_TRY(one(file_, "INSERT INTO layer_scan_file(container, object) VALUES (?1, ?2) RETURNING id"));
  CAIRN_TRY(one(block_, "INSERT INTO layer_scan_block VALUES (?1, ?2, ?3, ?4, ?5, ?6)"));
  CAIRN_TRY(one(point_, "UPDATE layer_scan_row SET blocks = ?1 WHERE container = ?2 AND key = ?3"));
  return one(share_, fmt::format("UPDATE layer_scan_row SET traits = traits | {} WHERE container = ?1 AND key = ?2",
                                 static_cast<int>(kShared)));
}

}  // namespace

Stamp stamp_of(const struct ::statx& status) {
  return {status.stx_ino, nanoseconds(status.stx_ctime), nanoseconds(status.stx_mtime), status.stx_size};
}

Proof proof_of(const Stamp& stamp, std::int64_t looked_at_ms) {
  return stamp.ctime_ns < looked_at_ms * kNsPerMs - kRacyNs ? Proof::good : Proof::racy;
}

Result<std::uint64_t> header_hash_of(Entry entry) {
  entry.holes.clear();
  entry.forgotten.clear();
  CAIRN_ASSIGN(const Bytes header, write_tar_header(entry));
  return XXH3_64bits(header.data(), header.size());
}

std::int64_t traits_of(const CatalogueRow& row) {
  std::int64_t traits = 0;
  if (row.is_shared) traits |= kShared;
  if (row.contents == Contents::torn) traits |= kTorn;
  if (row.has_xattr_whiteouts) traits |= kXattrWhiteouts;
  if (row.is_redirected) traits |= kRedirected;
  return traits;
}

void read_row(const sqlite::Statement& statement, CatalogueRow& into) {
  int at = 0;
  const auto number = [&] { return statement.integer(at++); };
  into.key = as_text(statement.blob(at++));
  into.kind = static_cast<EntryKind>(number());
  into.mark = static_cast<Mark>(number());
  into.proof = static_cast<Proof>(number());
  const std::int64_t traits = number();
  into.is_shared = (traits & kShared) != 0;
  into.contents = (traits & kTorn) != 0 ? Contents::torn : Contents::whole;
  into.has_xattr_whiteouts = (traits & kXattrWhiteouts) != 0;
  into.is_redirected = (traits & kRedirected) != 0;
  const auto stamp = [&] {
    Stamp read;
    read.inode = static_cast<std::uint64_t>(number());
    read.ctime_ns = number();
    read.mtime_ns = number();
    read.size_bytes = static_cast<std::uint64_t>(number());
    return read;
  };
  into.stamp = stamp();
  into.wal.reset();
  if (statement.is_null(at)) at += 4;
  else into.wal = stamp();
  into.header_hash = static_cast<std::uint64_t>(number());
  into.content_hash = static_cast<std::uint64_t>(number());
  into.link_target = as_text(statement.blob(at));
}

Result<RowWriter> RowWriter::open(const Catalogue& catalogue, std::string_view table) {
  RowWriter writer;
  writer.container_ = catalogue.container();
  std::string values = "?1";
  for (int i = 2; i <= kRowColumnCount + 1; ++i) values += fmt::format(", ?{}", i);
  const std::string sql =
      fmt::format("INSERT OR REPLACE INTO {}(container, {}) VALUES ({})", table, kRowColumns, values);
  CAIRN_ASSIGN(writer.insert_, catalogue.database().prepare(sql));
  return writer;
}

Result<void> RowWriter::write(const CatalogueRow& row, std::int64_t blocks) {
  const auto run = [&](const auto&... last) {
    const auto number = [](auto value) { return static_cast<std::int64_t>(value); };
    return insert_.run(container_, as_bytes(row.key), number(row.kind), number(row.mark), number(row.proof),
                       traits_of(row), row.stamp.inode, row.stamp.ctime_ns, row.stamp.mtime_ns, row.stamp.size_bytes,
                       last...);
  };
  const auto run_linked = [&](const auto&... wal) {
    const ByteView link = as_bytes(row.link_target);
    if (blocks != 0) return run(wal..., row.header_hash, row.content_hash, link, blocks);
    if (!link.empty()) return run(wal..., row.header_hash, row.content_hash, link, nullptr);
    return run(wal..., row.header_hash, row.content_hash, nullptr, nullptr);
  };
  if (!row.wal) return run_linked(nullptr, nullptr, nullptr, nullptr);
  return run_linked(row.wal->inode, row.wal->ctime_ns, row.wal->mtime_ns, row.wal->size_bytes);
}

KeyRange keys_below(std::string_view key) {
  KeyRange range{std::string(key), std::string(key)};
  // The root's key is empty, and every other key lies below it.
  range.begin += key.empty() ? '\1' : '\0';
  range.end += key.empty() ? '\xff' : '\1';
  if (key.empty()) range.end.append(4096, '\xff');
  return range;
}

const char* Catalogue::schema() {
  return R"(
CREATE TABLE IF NOT EXISTS layer_scan_row(
  container INTEGER, key BLOB, kind INTEGER, mark INTEGER, proof INTEGER, traits INTEGER,
  inode INTEGER, ctime_ns INTEGER, mtime_ns INTEGER, size INTEGER,
  wal_inode INTEGER, wal_ctime_ns INTEGER, wal_mtime_ns INTEGER, wal_size INTEGER,
  header_hash INTEGER, content_hash INTEGER, link BLOB, blocks INTEGER,
  PRIMARY KEY(container, key)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS layer_scan_row_blocks ON layer_scan_row(blocks) WHERE blocks IS NOT NULL;
CREATE TABLE IF NOT EXISTS layer_scan_file(id INTEGER PRIMARY KEY AUTOINCREMENT, container INTEGER, object TEXT);
CREATE TABLE IF NOT EXISTS layer_scan_block(
  file INTEGER, number INTEGER, hash INTEGER, place INTEGER, compressed INTEGER, size INTEGER,
  PRIMARY KEY(file, number)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS layer_scan_head(
  container INTEGER PRIMARY KEY, kind INTEGER, began_ms INTEGER, rows INTEGER, bytes INTEGER, sockets INTEGER);
CREATE TABLE IF NOT EXISTS layer_scan_plan(
  container INTEGER, key BLOB, action INTEGER, kind INTEGER, mark INTEGER, traits INTEGER, size INTEGER,
  link BLOB, forgotten BLOB, PRIMARY KEY(container, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS layer_scan_written(
  container INTEGER, key BLOB, kind INTEGER, mark INTEGER, proof INTEGER, traits INTEGER,
  inode INTEGER, ctime_ns INTEGER, mtime_ns INTEGER, size INTEGER,
  wal_inode INTEGER, wal_ctime_ns INTEGER, wal_mtime_ns INTEGER, wal_size INTEGER,
  header_hash INTEGER, content_hash INTEGER, link BLOB, blocks INTEGER,
  PRIMARY KEY(container, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS layer_scan_seen(container INTEGER PRIMARY KEY);
CREATE TABLE IF NOT EXISTS layer_scan_boot(container INTEGER PRIMARY KEY, boot TEXT);
)";
}

Result<bool> Catalogue::is_empty() {
  CAIRN_ASSIGN(auto any, database_.prepare("SELECT 1 FROM layer_scan_row WHERE container = ?1 LIMIT 1"));
  CAIRN_TRY(any.begin(container_));
  CAIRN_ASSIGN(const bool found, any.next());
  return !found;
}

Result<bool> Catalogue::has_names() {
  CAIRN_ASSIGN(auto any, database_.prepare("SELECT 1 FROM layer_scan_row WHERE container = ?1 AND key > x'' LIMIT 1"));
  CAIRN_TRY(any.begin(container_));
  return any.next();
}

Result<bool> Catalogue::has_names_below(std::string_view key) {
  CAIRN_ASSIGN(auto any, database_.prepare(
                             "SELECT 1 FROM layer_scan_row WHERE container = ?1 AND key >= ?2 AND key < ?3 LIMIT 1"));
  const KeyRange range = keys_below(key);
  CAIRN_TRY(any.begin(container_, as_bytes(range.begin), as_bytes(range.end)));
  return any.next();
}

Result<std::optional<CatalogueRow>> Catalogue::find(std::string_view path) {
  CAIRN_ASSIGN(auto one, database_.prepare(fmt::format(
                             "SELECT {} FROM layer_scan_row WHERE container = ?1 AND key = ?2", kRowColumns)));
  CAIRN_TRY(one.begin(container_, as_bytes(sort_key(path))));
  CAIRN_ASSIGN(const bool found, one.next());
  if (!found) return std::optional<CatalogueRow>();
  CatalogueRow row;
  read_row(one, row);
  return std::optional(std::move(row));
}

Result<Catalogue::Blocks> Catalogue::blocks_of(std::string_view path) {
  CAIRN_ASSIGN(auto list, database_.prepare(
                              "SELECT file.object, block.hash, block.place, block.compressed, block.size "
                              "FROM layer_scan_row AS row JOIN layer_scan_file AS file ON file.id = row.blocks "
                              "JOIN layer_scan_block AS block ON block.file = file.id "
                              "WHERE row.container = ?1 AND row.key = ?2 ORDER BY block.number"));
  CAIRN_TRY(list.begin(container_, as_bytes(sort_key(path))));
  Blocks found;
  for (;;) {
    CAIRN_ASSIGN(const bool more, list.next());
    if (!more) return found;
    if (found.blocks.empty()) found.object_key = list.text(0);
    found.blocks.push_back({static_cast<std::uint64_t>(list.integer(1)), static_cast<std::uint64_t>(list.integer(2)),
                            static_cast<std::uint32_t>(list.integer(3)), static_cast<std::uint32_t>(list.integer(4))});
  }
}

// What says that all was seen is there or not, so that rows of whoever knew nothing of this are doubted.
Result<void> Catalogue::note_hidden() {
  CAIRN_ASSIGN(auto forget, database_.prepare("DELETE FROM layer_scan_seen WHERE container = ?1"));
  return forget.run(container_);
}

Result<void> Catalogue::look_for_hidden() {
  CAIRN_ASSIGN(auto noted, database_.prepare("SELECT 1 FROM layer_scan_seen WHERE container = ?1"));
  CAIRN_TRY(noted.begin(container_));
  CAIRN_ASSIGN(const bool was_all_seen, noted.next());
  noted.reset();
  if (was_all_seen) return {};
  CAIRN_TRY(doubt_all());
  return note_all_seen();
}

Result<void> Catalogue::note_all_seen() {
  CAIRN_ASSIGN(auto note, database_.prepare("INSERT OR IGNORE INTO layer_scan_seen VALUES (?1)"));
  return note.run(container_);
}

Result<bool> Catalogue::is_of_this_boot() {
  const std::string boot = boot_id();
  CAIRN_ASSIGN(auto noted, database_.prepare("SELECT boot FROM layer_scan_boot WHERE container = ?1"));
  CAIRN_TRY(noted.begin(container_));
  CAIRN_ASSIGN(const bool found, noted.next());
  return found && !boot.empty() && noted.text(0) == boot;
}

Result<void> Catalogue::doubt_other_boots() {
  CAIRN_ASSIGN(const bool is_of_this, is_of_this_boot());
  if (is_of_this) return {};
  CAIRN_TRY(doubt_all());
  return note_boot(boot_id());
}

Result<void> Catalogue::note_boot(std::string_view boot) {
  CAIRN_ASSIGN(auto note, database_.prepare("INSERT OR REPLACE INTO layer_scan_boot VALUES (?1, ?2)"));
  return note.run(container_, boot);
}

Result<void> Catalogue::doubt_all() {
  CAIRN_ASSIGN(auto doubt, database_.prepare("UPDATE layer_scan_row SET proof = ?2 "
                                             "WHERE container = ?1 AND proof = ?3"));
  return doubt.run(container_, static_cast<int>(Proof::racy), static_cast<int>(Proof::good));
}

Result<void> Catalogue::clear() {
  CAIRN_ASSIGN(auto blocks, database_.prepare("DELETE FROM layer_scan_block WHERE file IN "
                                              "(SELECT id FROM layer_scan_file WHERE container = ?1)"));
  CAIRN_TRY(blocks.run(container_));
  for (const char* table : {"file", "row", "head", "plan", "written"}) {
    CAIRN_ASSIGN(auto rows, database_.prepare(fmt::format("DELETE FROM layer_scan_{} WHERE container = ?1", table)));
    CAIRN_TRY(rows.run(container_));
  }
  CAIRN_TRY(note_boot(boot_id()));
  return note_all_seen();  // there is nothing that was not
}

Result<std::unique_ptr<CatalogueRefill>> CatalogueRefill::begin(Catalogue& catalogue) {
  CAIRN_TRY(catalogue.clear());
  auto refill = std::make_unique<Refill>(catalogue);
  CAIRN_TRY(refill->prepare());
  return std::unique_ptr<CatalogueRefill>(std::move(refill));
}

}  // namespace cairn::layer
