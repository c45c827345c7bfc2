#include "sqlite/integrity.h"

#include <fmt/format.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <memory>

namespace cairn::sqlite {
namespace {

struct Close {
  void operator()(sqlite3* connection) const { sqlite3_close_v2(connection); }
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};

// immutable=1 makes SQLite ignore locks and any -wal; the path is escaped for the URI that says so.
std::string immutable_uri(const std::string& path) {
  std::string uri = "file:";
  for (const char c : path) {
    if (c == '?' || c == '#' || c == '%') {
      uri += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    } else {
      uri += c;
    }
  }
  return uri + "?immutable=1";
}

}  // namespace

Result<std::vector<std::string>> integrity_check(const std::string& path) {
  struct stat file{};
  if (::stat(path.c_str(), &file) != 0) {
    const bool absent = errno == ENOENT || errno == ENOTDIR;
    return Error(absent ? ErrorKind::not_found : ErrorKind::io, fmt::format("{}: {}", path, std::strerror(errno)));
  }
  sqlite3* opened = nullptr;
  const int flags = SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX;
  const int open_status = sqlite3_open_v2(immutable_uri(path).c_str(), &opened, flags, nullptr);
  const std::unique_ptr<sqlite3, Close> connection(opened);
  if (open_status != SQLITE_OK) {
    return Error(ErrorKind::io, fmt::format("{}: {}", path, sqlite3_errstr(open_status)));
  }
  std::vector<std::string> problems;
  sqlite3_stmt* prepared = nullptr;
  int status = sqlite3_prepare_v2(connection.get(), "PRAGMA integrity_check", -1, &prepared, nullptr);
  const std::unique_ptr<sqlite3_stmt, Close> statement(prepared);
  while (status == SQLITE_OK || status == SQLITE_ROW) {
    status = sqlite3_step(statement.get());
    if (status != SQLITE_ROW) break;
    const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement.get(), 0));
    const std::string sentence = text != nullptr ? text : "";
    if (sentence != "ok") problems.push_back(sentence);
  }
  if (status == SQLITE_DONE) return problems;
  if (status == SQLITE_CORRUPT || status == SQLITE_NOTADB) {
    problems.emplace_back(sqlite3_errmsg(connection.get()));
    return problems;
  }
  return Error(ErrorKind::io, fmt::format("{}: {}", path, sqlite3_errmsg(connection.get())));
}

}  // namespace cairn::sqlite
