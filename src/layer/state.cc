#include "layer/state.h"

#include <fmt/format.h>

#include <utility>

#include "base/bytes.h"
#include "layer/catalogue.h"
#include "layer/object.h"
#include "layer/sha256.h"

namespace cairn::layer {
namespace {

constexpr std::int64_t kStateFormat = 1;

constexpr const char* kSchema = R"(
CREATE TABLE IF NOT EXISTS layer_state(
  one INTEGER PRIMARY KEY CHECK (one = 1), format INTEGER NOT NULL, writer TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS layer_container(
  id INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE, directory BLOB NOT NULL, store BLOB NOT NULL,
  registered INTEGER, may_copy INTEGER, lineage TEXT, sequence INTEGER, digest TEXT, time_ms INTEGER,
  full_bytes INTEGER, increment_bytes INTEGER, increments INTEGER);
CREATE TABLE IF NOT EXISTS layer_pending(
  container INTEGER PRIMARY KEY, stage INTEGER, lineage TEXT, sequence INTEGER, kind INTEGER, time_ms INTEGER,
  temporary_key TEXT, upload_id TEXT, part_bytes INTEGER, may_copy INTEGER, skipped_sockets INTEGER, digest TEXT,
  object_key TEXT, size_bytes INTEGER, compressed_bytes INTEGER, entries INTEGER, torn_files INTEGER,
  created_ms INTEGER, copy_id TEXT);
CREATE TABLE IF NOT EXISTS layer_leftover(key TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS layer_part(
  container INTEGER, number INTEGER, size_bytes INTEGER, hash INTEGER, source_key TEXT, source_offset INTEGER,
  etag TEXT, PRIMARY KEY(container, number)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS layer_checkpoint(
  container INTEGER, part INTEGER, done_key BLOB, tar_bytes INTEGER, content_bytes INTEGER, torn_files INTEGER,
  ended INTEGER, header BLOB, inode INTEGER, ctime_ns INTEGER, mtime_ns INTEGER, size_bytes INTEGER,
  next_block INTEGER, hash BLOB, digest BLOB, state BLOB, carry BLOB,
  index_written INTEGER, PRIMARY KEY(container, part));
)";

Bytes copied(ByteView view) { return {view.begin(), view.end()}; }
std::uint64_t number(const sqlite::Statement& row, int column) {
  return static_cast<std::uint64_t>(row.integer(column));
}

Container container_of(const sqlite::Statement& row) {
  Container container;
  container.id = row.integer(0);
  container.name = as_text(row.blob(1));
  container.directory = as_text(row.blob(2));
  container.store_url = as_text(row.blob(3));
  container.registered = row.integer(11) != 0;
  container.may_copy = row.integer(12) != 0;
  const auto lineage = Id128::from_hex(row.text(4));
  if (row.is_null(5) || !lineage) return container;
  container.head = KnownHead{.lineage = *lineage,
                             .sequence = number(row, 5),
                             .digest = std::string(row.text(6)),
                             .time_ms = row.integer(7),
                             .full_bytes = number(row, 8),
                             .increment_bytes = number(row, 9),
                             .increments = number(row, 10)};
  return container;
}

constexpr std::string_view kSelectContainer =
    "SELECT id, name, directory, store, lineage, sequence, digest, time_ms, full_bytes, increment_bytes, increments, "
    "registered, may_copy FROM layer_container ";

}  // namespace

Result<std::unique_ptr<State>> State::open(const std::string& path, Random& random) {
  CAIRN_ASSIGN(auto database, sqlite::LocalDatabase::open(path, std::string(kSchema) + Catalogue::schema()));
  std::unique_ptr<State> state(new State(std::move(database)));
  CAIRN_TRY(state->identify(random));
  return state;
}

Result<std::unique_ptr<State>> State::open_beside(const std::string& path) {
  CAIRN_ASSIGN(auto database, sqlite::LocalDatabase::open(path, ""));
  return std::unique_ptr<State>(new State(std::move(database)));
}

Result<void> State::identify(Random& random) {
  CAIRN_ASSIGN(auto insert, database_->prepare("INSERT OR IGNORE INTO layer_state VALUES (1, ?1, ?2)"));
  CAIRN_TRY(insert.run(kStateFormat, random.id().hex()));
  CAIRN_ASSIGN(auto select, database_->prepare("SELECT format, writer FROM layer_state"));
  CAIRN_TRY(select.begin());
  CAIRN_ASSIGN(const bool found, select.next());
  if (found && select.integer(0) > kStateFormat)
    return Error(ErrorKind::invalid, "the state directory was written by a newer Cairn: use that, or another one");
  auto writer = Id128::from_hex(found ? select.text(1) : std::string_view());
  if (!writer) return Error(ErrorKind::corrupt, "state.db is damaged: the writer in it is no id");
  writer_ = *writer;
  return {};
}

Result<void> State::become_another(Random& random) {
  const Id128 writer = random.id();
  CAIRN_ASSIGN(auto update, database_->prepare("UPDATE layer_state SET writer = ?1"));
  CAIRN_TRY(update.run(writer.hex()));
  writer_ = writer;
  return {};
}

Result<void> State::begin() {
  if (in_transaction_) return {};
  CAIRN_TRY(database_->execute("BEGIN IMMEDIATE"));
  in_transaction_ = true;
  return {};
}

Result<void> State::commit() {
  if (!in_transaction_) return {};
  if (auto done = database_->execute("COMMIT"); !done) {
    roll_back();
    return done;
  }
  in_transaction_ = false;
  return {};
}

void State::roll_back() {
  if (!in_transaction_) return;
  (void)database_->execute("ROLLBACK");  // an error may have done that already
  in_transaction_ = false;
}

Result<std::vector<Container>> State::containers() {
  CAIRN_ASSIGN(auto select, database_->prepare(std::string(kSelectContainer) + "ORDER BY name"));
  CAIRN_TRY(select.begin());
  std::vector<Container> all;
  for (;;) {
    CAIRN_ASSIGN(const bool more, select.next());
    if (!more) return all;
    all.push_back(container_of(select));
  }
}

Result<std::optional<Container>> State::find(std::string_view name) {
  CAIRN_ASSIGN(auto select, database_->prepare(std::string(kSelectContainer) + "WHERE name = ?1"));
  CAIRN_TRY(select.begin(as_bytes(name)));
  CAIRN_ASSIGN(const bool found, select.next());
  if (!found) return std::optional<Container>();
  return std::optional(container_of(select));
}

Result<void> State::put(const Container& container) {
  CAIRN_ASSIGN(auto make, database_->prepare(
      "INSERT INTO layer_container(name, directory, store, registered, may_copy) VALUES (?1, ?2, ?3, ?4, ?5) "
      "ON CONFLICT(name) DO UPDATE SET directory = ?2, store = ?3, registered = ?4, may_copy = ?5"));
  CAIRN_TRY(make.run(as_bytes(container.name), as_bytes(container.directory), as_bytes(container.store_url),
                     container.registered, container.may_copy));
  if (!container.head) {
    CAIRN_ASSIGN(auto forget, database_->prepare("UPDATE layer_container SET lineage = NULL, sequence = NULL, "
                                                 "digest = NULL WHERE name = ?1"));
    return forget.run(as_bytes(container.name));
  }
  CAIRN_ASSIGN(auto update, database_->prepare("UPDATE layer_container SET lineage = ?2, sequence = ?3, digest = ?4, "
                                               "time_ms = ?5, full_bytes = ?6, increment_bytes = ?7, increments = ?8 "
                                               "WHERE name = ?1"));
  const KnownHead& head = *container.head;
  return update.run(as_bytes(container.name), head.lineage.hex(), head.sequence, head.digest, head.time_ms,
                    head.full_bytes, head.increment_bytes, head.increments);
}

Result<std::optional<PendingSync>> State::pending(std::int64_t container) {
  CAIRN_ASSIGN(auto select, database_->prepare(
      "SELECT stage, lineage, sequence, kind, time_ms, temporary_key, upload_id, part_bytes, may_copy, "
      "skipped_sockets, digest, object_key, size_bytes, compressed_bytes, entries, torn_files, created_ms, copy_id "
      "FROM layer_pending WHERE container = ?1"));
  CAIRN_TRY(select.begin(container));
  CAIRN_ASSIGN(const bool found, select.next());
  if (!found) return std::optional<PendingSync>();
  CAIRN_ASSIGN(const Id128 lineage, Id128::from_hex(select.text(1)));
  return std::optional(PendingSync{.stage = static_cast<Stage>(select.integer(0)),
                                   .lineage = lineage,
                                   .sequence = number(select, 2),
                                   .kind = static_cast<SyncKind>(select.integer(3)),
                                   .time_ms = select.integer(4),
                                   .temporary_key = std::string(select.text(5)),
                                   .upload_id = std::string(select.text(6)),
                                   .part_bytes = number(select, 7),
                                   .may_copy = select.integer(8) != 0,
                                   .skipped_sockets = number(select, 9),
                                   .digest = std::string(select.text(10)),
                                   .object_key = std::string(select.text(11)),
                                   .size_bytes = number(select, 12),
                                   .compressed_bytes = number(select, 13),
                                   .entries = number(select, 14),
                                   .torn_files = number(select, 15),
                                   .created_ms = select.integer(16),
                                   .copy_id = std::string(select.text(17))});
}

Result<void> State::put_pending(std::int64_t container, const PendingSync& p) {
  CAIRN_ASSIGN(auto insert, database_->prepare(
      "INSERT OR REPLACE INTO layer_pending VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, "
      "?16, ?17, ?18, ?19)"));
  return insert.run(container, static_cast<int>(p.stage), p.lineage.hex(), p.sequence, static_cast<int>(p.kind),
                    p.time_ms, p.temporary_key, p.upload_id, p.part_bytes, p.may_copy, p.skipped_sockets, p.digest,
                    p.object_key, p.size_bytes, p.compressed_bytes, p.entries, p.torn_files, p.created_ms,
                    p.copy_id);
}

Result<void> State::drop_pending(std::int64_t container) {
  CAIRN_TRY(drop_behind(container, 0));
  CAIRN_ASSIGN(auto drop, database_->prepare("DELETE FROM layer_pending WHERE container = ?1"));
  return drop.run(container);
}

Result<std::vector<std::string>> State::leftovers() {
  CAIRN_ASSIGN(auto select, database_->prepare("SELECT key FROM layer_leftover"));
  CAIRN_TRY(select.begin());
  std::vector<std::string> all;
  for (;;) {
    CAIRN_ASSIGN(const bool more, select.next());
    if (!more) return all;
    all.emplace_back(select.text(0));
  }
}

Result<void> State::add_leftover(std::string_view key) {
  CAIRN_ASSIGN(auto insert, database_->prepare("INSERT OR IGNORE INTO layer_leftover VALUES (?1)"));
  return insert.run(key);
}

Result<void> State::drop_leftover(std::string_view key) {
  CAIRN_ASSIGN(auto drop, database_->prepare("DELETE FROM layer_leftover WHERE key = ?1"));
  return drop.run(key);
}

Result<std::vector<JournaledPart>> State::parts(std::int64_t container) {
  CAIRN_ASSIGN(auto select, database_->prepare("SELECT number, size_bytes, hash, source_key, source_offset, etag "
                                               "FROM layer_part WHERE container = ?1 ORDER BY number"));
  CAIRN_TRY(select.begin(container));
  std::vector<JournaledPart> all;
  for (;;) {
    CAIRN_ASSIGN(const bool more, select.next());
    if (!more) return all;
    all.push_back({.number = static_cast<int>(select.integer(0)),
                   .size_bytes = number(select, 1),
                   .hash = number(select, 2),
                   .source_key = std::string(select.text(3)),
                   .source_offset = number(select, 4),
                   .etag = std::string(select.text(5))});
  }
}

Result<void> State::put_part(std::int64_t container, const JournaledPart& part) {
  CAIRN_ASSIGN(auto insert,
               database_->prepare("INSERT OR REPLACE INTO layer_part VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"));
  return insert.run(container, part.number, part.size_bytes, part.hash, part.source_key, part.source_offset, part.etag);
}

Result<void> State::acknowledge(std::int64_t container, int part, std::string_view etag) {
  CAIRN_ASSIGN(auto update, database_->prepare("UPDATE layer_part SET etag = ?3 WHERE container = ?1 AND number = ?2"));
  return update.run(container, part, etag);
}

Result<void> State::forget_upload(std::int64_t container) {
  CAIRN_ASSIGN(auto upload, database_->prepare("UPDATE layer_pending SET upload_id = '' WHERE container = ?1"));
  CAIRN_TRY(upload.run(container));
  CAIRN_ASSIGN(auto parts, database_->prepare("UPDATE layer_part SET etag = '' WHERE container = ?1"));
  return parts.run(container);
}

Result<void> State::drop_behind(std::int64_t container, int part) {
  CAIRN_ASSIGN(auto parts, database_->prepare("DELETE FROM layer_part WHERE container = ?1 AND number > ?2"));
  CAIRN_TRY(parts.run(container, part));
  CAIRN_ASSIGN(auto checkpoints, database_->prepare("DELETE FROM layer_checkpoint WHERE container = ?1 AND part > ?2"));
  return checkpoints.run(container, part);
}

Result<Checkpoint> State::checkpoint(std::int64_t container, int part, Where where) {
  CAIRN_ASSIGN(auto select, database_->prepare(
      "SELECT part, done_key, tar_bytes, content_bytes, torn_files, ended, header, inode, ctime_ns, mtime_ns, "
      "size_bytes, next_block, hash, digest, state, carry, index_written FROM layer_checkpoint "
      "WHERE container = ?1 AND part <= ?2 AND (?3 OR header IS NULL) ORDER BY part DESC LIMIT 1"));
  CAIRN_TRY(select.begin(container, part, where == Where::anywhere));
  Checkpoint found;
  CAIRN_ASSIGN(const bool any, select.next());
  if (!any) {
    found.digest = Sha256().save();
    found.index = IndexBuilder().save();
    return found;
  }
  found.part = static_cast<int>(select.integer(0));
  if (!select.is_null(1)) found.position.done_key = std::string(as_text(select.blob(1)));
  found.position.tar_bytes = number(select, 2);
  found.position.content_bytes = number(select, 3);
  found.position.torn_files = number(select, 4);
  found.position.ended = select.integer(5) != 0;
  if (!select.is_null(6)) {
    found.position.inside = ArchivePosition::Inside{
        .header = copied(select.blob(6)),
        .stamp = {.inode = number(select, 7),
                  .ctime_ns = select.integer(8),
                  .mtime_ns = select.integer(9),
                  .size_bytes = number(select, 10)},
        .next_block = number(select, 11),
        .hash = copied(select.blob(12))};
  }
  found.digest = copied(select.blob(13));
  found.index = copied(select.blob(14));
  found.carry = copied(select.blob(15));
  found.index_written = select.integer(16) != 0;
  return found;
}

// Kept are: what somebody may go back to when a part's bytes in the spool are found to be damaged (the ones before open
// parts), and the newest one outside of big files, for when the file that the newest one is inside of has changed.
Result<void> State::put_checkpoint(std::int64_t container, const Checkpoint& checkpoint, int first_open) {
  CAIRN_ASSIGN(auto drop, database_->prepare(
      "DELETE FROM layer_checkpoint WHERE container = ?1 AND part < (SELECT coalesce(max(part), 0) FROM "
      "layer_checkpoint WHERE container = ?1 AND part < ?2) AND part <> (SELECT coalesce(max(part), 0) FROM "
      "layer_checkpoint WHERE container = ?1 AND part < ?2 AND header IS NULL)"));
  CAIRN_TRY(drop.run(container, first_open));
  CAIRN_ASSIGN(auto insert, database_->prepare(
      "INSERT OR REPLACE INTO layer_checkpoint VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, "
      "?15, ?16, ?17, ?18)"));
  const ArchivePosition& at = checkpoint.position;
  const ArchivePosition::Inside inside = at.inside.value_or(ArchivePosition::Inside());
  const auto run = [&](const auto& done_key, const auto& header) {
    return insert.run(container, checkpoint.part, done_key, at.tar_bytes, at.content_bytes, at.torn_files, at.ended,
                      header, inside.stamp.inode, inside.stamp.ctime_ns, inside.stamp.mtime_ns,
                      inside.stamp.size_bytes, inside.next_block, inside.hash, checkpoint.digest, checkpoint.index,
                      checkpoint.carry, checkpoint.index_written);
  };
  if (at.done_key && at.inside) return run(as_bytes(*at.done_key), inside.header);
  if (at.done_key) return run(as_bytes(*at.done_key), nullptr);
  if (at.inside) return run(nullptr, inside.header);
  return run(nullptr, nullptr);
}

}  // namespace cairn::layer
