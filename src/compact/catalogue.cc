#include "compact/catalogue.h"

#include <fmt/format.h>

#include <cstring>

#include "base/bytes.h"
#include "segment/footer.h"
#include "segment/keys.h"

namespace cairn::compact {
namespace {

constexpr std::uint32_t kApplicationId = 0x43726E43;  // "CrnC"
constexpr std::int64_t kFormat = 2;  // 1 had no writers

constexpr const char* kSchema = R"(
CREATE TABLE IF NOT EXISTS catalogue(one INTEGER PRIMARY KEY CHECK (one = 1), format INTEGER NOT NULL);
INSERT OR IGNORE INTO catalogue VALUES (1, 2);
CREATE TABLE IF NOT EXISTS replica(
  id INTEGER PRIMARY KEY AUTOINCREMENT, url BLOB NOT NULL, lineage TEXT NOT NULL, added_ms INTEGER NOT NULL,
  synced_ms INTEGER NOT NULL, UNIQUE(url, lineage));
CREATE TABLE IF NOT EXISTS object(
  replica INTEGER NOT NULL, key TEXT NOT NULL, size_bytes INTEGER NOT NULL, etag TEXT NOT NULL,
  modified_ms INTEGER NOT NULL, footer BLOB, problem TEXT, PRIMARY KEY(replica, key)) WITHOUT ROWID;
)";

KnownReplica replica_of(const sqlite::Statement& row) {
  KnownReplica replica;
  replica.id = row.integer(0);
  replica.url = as_text(row.blob(1));
  replica.lineage = Id128::from_hex(row.text(2)).value_or(Id128{});
  replica.added_ms = row.integer(3);
  replica.synced_ms = row.integer(4);
  return replica;
}

constexpr const char* kSelectReplica = "SELECT id, url, lineage, added_ms, synced_ms FROM replica ";

Result<KnownObject> object_of(const sqlite::Statement& row) {
  KnownObject object;
  auto name = segment::parse_key("", row.text(0));
  if (!name) return Error(ErrorKind::corrupt, fmt::format("'{}' is no key of an object", row.text(0)));
  object.read.object.name = std::move(*name);
  object.read.object.size_bytes = static_cast<std::uint64_t>(row.integer(1));
  object.etag = row.text(2);
  object.modified_ms = row.integer(3);
  object.problem = row.text(5);
  if (row.is_null(4)) return object;
  CAIRN_ASSIGN(object.read.footer, decode_footer(row.blob(4)));
  return object;
}

template <class T>
void append(Bytes& bytes, T value) {
  bytes.resize(bytes.size() + sizeof value);
  store_le(bytes.data() + bytes.size() - sizeof value, value);
}

std::uint64_t checksum(ByteView bytes) { return segment::page_hash(PageNo(0), bytes); }

// kind, page size, lineage, writer, first, last, first and last time, hash before, entries; then the points, then the
// checksum.
constexpr std::size_t kHeadBytes = 4 + 4 + 16 + 16 + 6 * 8;

}  // namespace

Bytes encode_footer(const segment::Footer& footer) {
  Bytes bytes;
  append(bytes, static_cast<std::uint32_t>(footer.kind));
  append(bytes, footer.page_size);
  for (const Id128& id : {footer.lineage, footer.writer}) {
    for (const std::uint8_t byte : id.bytes) bytes.push_back(std::byte{byte});
  }
  append(bytes, footer.first.value);
  append(bytes, footer.last.value);
  append(bytes, footer.first_time_ms);
  append(bytes, footer.last_time_ms);
  append(bytes, footer.hash_before);
  append(bytes, footer.index_count);
  const Bytes points = segment::write_points(footer.points);
  bytes.insert(bytes.end(), points.begin(), points.end());
  append(bytes, checksum(bytes));
  return bytes;
}

Result<segment::Footer> decode_footer(ByteView bytes) {
  const Error damaged(ErrorKind::corrupt, "what an object's footer said is garbled");
  if (bytes.size() < kHeadBytes + segment::kPointBytes + 8) return damaged;
  const ByteView said = bytes.first(bytes.size() - 8), points = said.subspan(kHeadBytes);
  if (load_le<std::uint64_t>(bytes.data() + said.size()) != checksum(said)) return damaged;
  if (points.size() % segment::kPointBytes != 0) return damaged;
  segment::Footer footer;
  footer.kind = static_cast<segment::ObjectKind>(load_le<std::uint32_t>(bytes.data()));
  footer.page_size = load_le<std::uint32_t>(bytes.data() + 4);
  std::memcpy(footer.lineage.bytes.data(), bytes.data() + 8, 16);
  std::memcpy(footer.writer.bytes.data(), bytes.data() + 24, 16);
  const std::byte* numbers = bytes.data() + 40;
  footer.first = Sequence(load_le<std::uint64_t>(numbers));
  footer.last = Sequence(load_le<std::uint64_t>(numbers + 8));
  footer.first_time_ms = load_le<std::int64_t>(numbers + 16);
  footer.last_time_ms = load_le<std::int64_t>(numbers + 24);
  footer.hash_before = load_le<std::uint64_t>(numbers + 32);
  footer.index_count = load_le<std::uint64_t>(numbers + 40);
  const auto count = static_cast<std::uint32_t>(points.size() / segment::kPointBytes);
  CAIRN_ASSIGN(footer.points, segment::parse_points(points, count));
  return footer;
}

template <class T>
Result<T> Catalogue::told(Result<T> result) const {
  if (result || result.error().kind() != ErrorKind::corrupt) return result;
  if (result.error().message().starts_with("the catalogue")) return result;  // a call within a call
  return Error(ErrorKind::corrupt,
               fmt::format("the catalogue {} is damaged ({}). It only holds what is in the stores: remove it together "
                           "with {}-wal and {}-shm, and say again which replicas there are ('cairn compact monitor "
                           "URL'); nothing is lost",
                           path_, result.error().message(), path_, path_));
}

Result<std::unique_ptr<Catalogue>> Catalogue::open(const std::string& path) {
  std::unique_ptr<Catalogue> catalogue(new Catalogue(path, nullptr));
  auto database = catalogue->told(sqlite::LocalDatabase::open(path, kSchema, kApplicationId));
  if (!database && database.error().kind() == ErrorKind::invalid) {
    return database.error().with("no catalogue, and nothing was changed. Name another file with --catalogue");
  }
  if (!database) return database.error();
  catalogue->database_ = std::move(*database);
  CAIRN_TRY(catalogue->told(catalogue->check_format()));
  return catalogue;
}

Result<void> Catalogue::check_format() {
  CAIRN_ASSIGN(auto check, database_->prepare("PRAGMA quick_check(1)"));
  CAIRN_TRY(check.begin());
  CAIRN_ASSIGN(const bool answered, check.next());
  if (!answered || check.text(0) != "ok") return Error(ErrorKind::corrupt, std::string(check.text(0)));
  check.reset();
  CAIRN_ASSIGN(auto select, database_->prepare("SELECT format FROM catalogue"));
  CAIRN_TRY(select.begin());
  CAIRN_ASSIGN(const bool found, select.next());
  if (!found) return Error(ErrorKind::corrupt, "it has no format number");
  const std::int64_t format = select.integer(0);
  select.reset();
  if (format == kFormat) return {};
  if (format < kFormat) return begin_anew();
  return Error(ErrorKind::invalid, fmt::format("the catalogue {} was written by a newer Cairn: use that, or name "
                                               "another file with --catalogue", path_));
}

// What an older Cairn knew of the objects is learned again by the next sync.
Result<void> Catalogue::begin_anew() {
  return database_->transaction([&] {
    return database_->execute(fmt::format("DELETE FROM object; UPDATE replica SET synced_ms = 0; "
                                          "UPDATE catalogue SET format = {}", kFormat));
  });
}

Result<std::vector<KnownReplica>> Catalogue::replicas() {
  return told([&]() -> Result<std::vector<KnownReplica>> {
    CAIRN_ASSIGN(auto select, database_->prepare(std::string(kSelectReplica) + "ORDER BY url"));
    CAIRN_TRY(select.begin());
    std::vector<KnownReplica> all;
    for (;;) {
      CAIRN_ASSIGN(const bool more, select.next());
      if (!more) return all;
      all.push_back(replica_of(select));
    }
  }());
}

Result<std::optional<KnownReplica>> Catalogue::find(std::string_view url) {
  return told([&]() -> Result<std::optional<KnownReplica>> {
    CAIRN_ASSIGN(auto select, database_->prepare(std::string(kSelectReplica) + "WHERE url = ?1"));
    CAIRN_TRY(select.begin(as_bytes(url)));
    CAIRN_ASSIGN(const bool found, select.next());
    if (!found) return std::optional<KnownReplica>();
    return std::optional(replica_of(select));
  }());
}

// Nothing is left to foreign keys, which SQLite honours only when it is told to.
Result<void> Catalogue::forget(std::int64_t id) {
  CAIRN_ASSIGN(auto objects, database_->prepare("DELETE FROM object WHERE replica = ?1"));
  CAIRN_TRY(objects.run(id));
  CAIRN_ASSIGN(auto replica, database_->prepare("DELETE FROM replica WHERE id = ?1"));
  return replica.run(id);
}

Result<KnownReplica> Catalogue::add(std::string_view url, const Id128& lineage, std::int64_t now_ms) {
  const auto added = told(database_->transaction([&]() -> Result<void> {
    CAIRN_ASSIGN(const std::optional<KnownReplica> known, find(url));
    if (known && known->lineage == lineage) return {};
    if (known) CAIRN_TRY(forget(known->id));
    CAIRN_ASSIGN(auto insert, database_->prepare("INSERT INTO replica(url, lineage, added_ms, synced_ms) "
                                                 "VALUES (?1, ?2, ?3, 0)"));
    return insert.run(as_bytes(url), lineage.hex(), now_ms);
  }));
  if (!added) return added.error();
  CAIRN_ASSIGN(std::optional<KnownReplica> known, find(url));
  if (known) return std::move(*known);
  return Error(ErrorKind::not_found, fmt::format("{} was removed from the catalogue this very moment", url));
}

Result<void> Catalogue::remove(const KnownReplica& replica) {
  return told(database_->transaction([&] { return forget(replica.id); }));
}

Result<void> Catalogue::set_synced(const KnownReplica& replica, std::int64_t now_ms) {
  return told([&]() -> Result<void> {
    CAIRN_ASSIGN(auto update, database_->prepare("UPDATE replica SET synced_ms = ?2 WHERE id = ?1"));
    return update.run(replica.id, now_ms);
  }());
}

Result<std::vector<KnownObject>> Catalogue::objects(const KnownReplica& replica) {
  return told([&]() -> Result<std::vector<KnownObject>> {
    CAIRN_ASSIGN(auto select, database_->prepare("SELECT key, size_bytes, etag, modified_ms, footer, problem "
                                                 "FROM object WHERE replica = ?1 ORDER BY key"));
    CAIRN_TRY(select.begin(replica.id));
    std::vector<KnownObject> all;
    for (;;) {
      CAIRN_ASSIGN(const bool more, select.next());
      if (!more) return all;
      CAIRN_ASSIGN(KnownObject object, object_of(select));
      all.push_back(std::move(object));
    }
  }());
}

Result<void> Catalogue::update(const KnownReplica& replica, const std::vector<KnownObject>& put,
                               const std::vector<std::string>& gone) {
  return told(database_->transaction([&]() -> Result<void> {
    CAIRN_ASSIGN(auto insert, database_->prepare(
        "INSERT OR REPLACE INTO object SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 "
        "WHERE EXISTS (SELECT 1 FROM replica WHERE id = ?1)"));
    for (const KnownObject& object : put) {
      const restore::StoredObject& stored = object.read.object;
      const Bytes footer = object.problem.empty() ? encode_footer(object.read.footer) : Bytes();
      if (object.problem.empty()) {
        CAIRN_TRY(insert.run(replica.id, stored.name.key, stored.size_bytes, object.etag, object.modified_ms,
                             ByteView(footer), nullptr));
      } else {
        CAIRN_TRY(insert.run(replica.id, stored.name.key, stored.size_bytes, object.etag, object.modified_ms, nullptr,
                             object.problem));
      }
    }
    CAIRN_ASSIGN(auto forget_one, database_->prepare("DELETE FROM object WHERE replica = ?1 AND key = ?2"));
    for (const std::string& key : gone) CAIRN_TRY(forget_one.run(replica.id, key));
    return {};
  }));
}

}  // namespace cairn::compact
