#include "sqlite/local_database.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sqlite3.h>
#include <unistd.h>

#include <cerrno>

#include "base/os.h"

namespace cairn::sqlite {
namespace {

constexpr int kBusyTimeoutMs = 5000;

ErrorKind kind_of(int code) {
  switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return ErrorKind::busy;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return ErrorKind::corrupt;
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_AUTH: return ErrorKind::denied;
    default: return ErrorKind::io;
  }
}

Error failure_of(sqlite3* connection, int code) {
  const char* path = connection != nullptr ? sqlite3_db_filename(connection, "main") : nullptr;
  const char* said = connection != nullptr ? sqlite3_errmsg(connection) : sqlite3_errstr(code);
  return Error(kind_of(code), fmt::format("{}: {}", path != nullptr ? path : "local state", said));
}

}  // namespace

void Statement::Finalize::operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }

void Statement::reset() {
  if (statement_) sqlite3_reset(statement_.get());
}

void Statement::bind_null(int index) {
  if (status_ == SQLITE_OK) status_ = sqlite3_bind_null(statement_.get(), index);
}

void Statement::bind_integer(int index, std::int64_t value) {
  if (status_ == SQLITE_OK) status_ = sqlite3_bind_int64(statement_.get(), index, value);
}

void Statement::bind_text(int index, std::string_view value) {
  if (status_ != SQLITE_OK) return;
  const char* bytes = value.data() != nullptr ? value.data() : "";  // a null pointer would bind NULL
  status_ = sqlite3_bind_text64(statement_.get(), index, bytes, value.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
}

void Statement::bind_blob(int index, ByteView value) {
  if (status_ != SQLITE_OK) return;
  const void* bytes = value.data() != nullptr ? static_cast<const void*>(value.data()) : "";
  status_ = sqlite3_bind_blob64(statement_.get(), index, bytes, value.size(), SQLITE_TRANSIENT);
}

Result<void> Statement::bound() {
  const int status = std::exchange(status_, SQLITE_OK);
  if (status != SQLITE_OK) return failure(status);
  return {};
}

Result<bool> Statement::next() {
  const int status = sqlite3_step(statement_.get());
  if (status == SQLITE_ROW) return true;
  if (status == SQLITE_DONE) {
    sqlite3_reset(statement_.get());
    return false;
  }
  Error error = failure(status);
  sqlite3_reset(statement_.get());
  return error;
}

Result<void> Statement::finish() {
  for (;;) {
    CAIRN_ASSIGN(const bool row, next());
    if (!row) return {};
  }
}

std::int64_t Statement::integer(int column) const { return sqlite3_column_int64(statement_.get(), column); }

std::string_view Statement::text(int column) const {
  const auto* bytes = reinterpret_cast<const char*>(sqlite3_column_text(statement_.get(), column));
  return bytes == nullptr ? std::string_view()
                          : std::string_view(bytes, sqlite3_column_bytes(statement_.get(), column));
}

ByteView Statement::blob(int column) const {
  const auto* bytes = static_cast<const std::byte*>(sqlite3_column_blob(statement_.get(), column));
  return bytes == nullptr ? ByteView() : ByteView(bytes, sqlite3_column_bytes(statement_.get(), column));
}

bool Statement::is_null(int column) const {
  return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL;
}

Error Statement::failure(int code) const { return failure_of(sqlite3_db_handle(statement_.get()), code); }

void LocalDatabase::Close::operator()(sqlite3* connection) const { sqlite3_close_v2(connection); }

Result<std::unique_ptr<LocalDatabase>> LocalDatabase::open(const std::string& path, std::string_view schema,
                                                           std::uint32_t application_id) {
  // SQLite would make it readable for others; -wal and -shm get the permissions of the database.
  const FileDescriptor made(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!made.is_open()) return os_error(errno, path);

  std::unique_ptr<LocalDatabase> database(new LocalDatabase(path));
  sqlite3* opened = nullptr;
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;
  const int status = sqlite3_open_v2(path.c_str(), &opened, flags, nullptr);
  database->connection_.reset(opened);
  if (status != SQLITE_OK) return failure_of(opened, status).with(path);
  sqlite3_busy_timeout(opened, kBusyTimeoutMs);
  if (application_id != 0) CAIRN_TRY(database->check_application_id(application_id));
  CAIRN_TRY(database->execute("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL"));
  CAIRN_TRY(database->execute(schema));
  return database;
}

// An empty file gets the id in its first transaction: so there is no moment at which ours is without.
Result<void> LocalDatabase::check_application_id(std::uint32_t ours) {
  CAIRN_ASSIGN(auto id, prepare("PRAGMA application_id"));
  CAIRN_TRY(id.begin());
  CAIRN_ASSIGN(const bool has_id, id.next());
  if (has_id && static_cast<std::uint32_t>(id.integer(0)) == ours) return {};
  id.reset();
  CAIRN_ASSIGN(auto pages, prepare("PRAGMA page_count"));
  CAIRN_TRY(pages.begin());
  CAIRN_ASSIGN(const bool has_pages, pages.next());
  if (has_pages && pages.integer(0) > 0) {
    return Error(ErrorKind::invalid, fmt::format("{} is a database of another program", path_));
  }
  pages.reset();
  return execute(fmt::format("PRAGMA application_id={}", static_cast<std::int32_t>(ours)));
}

Result<void> LocalDatabase::execute(std::string_view sql) {
  const int status = sqlite3_exec(connection_.get(), std::string(sql).c_str(), nullptr, nullptr, nullptr);
  if (status != SQLITE_OK) return failure_of(connection_.get(), status);
  return {};
}

Result<Statement> LocalDatabase::prepare(std::string_view sql) {
  sqlite3_stmt* prepared = nullptr;
  const int status = sqlite3_prepare_v3(connection_.get(), sql.data(), static_cast<int>(sql.size()),
                                        SQLITE_PREPARE_PERSISTENT, &prepared, nullptr);
  if (status != SQLITE_OK) return failure_of(connection_.get(), status);
  Statement statement;
  statement.statement_.reset(prepared);
  return statement;
}

void LocalDatabase::roll_back() {
  sqlite3_exec(connection_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
}

}  // namespace cairn::sqlite
