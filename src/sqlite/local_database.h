// A small SQLite database that Cairn keeps for itself (catalogues, journals): statements and transactions, no more.
// Nothing of the user's is ever opened with it; see database.h for that.
//
//   CAIRN_ASSIGN(auto db, LocalDatabase::open(path, "CREATE TABLE IF NOT EXISTS part(number, etag)"));
//   CAIRN_ASSIGN(auto insert, db->prepare("INSERT INTO part VALUES (?1, ?2)"));
//   CAIRN_TRY(insert.run(7, etag));
//
// Errors: busy (another process has it locked for more than some seconds), corrupt (not a database, or damaged: what
// was in it has to be found out anew), denied, io. One thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "cairn/error.h"
#include "cairn/store.h"

struct sqlite3;
struct sqlite3_stmt;

namespace cairn::sqlite {

class Statement {
 public:
  Statement() = default;

  // Binds the values to ?1, ?2, ... (integers, text, or ByteView for a blob; nullptr for NULL) and runs it to its end.
  template <class... Values>
  Result<void> run(const Values&... values) {
    CAIRN_TRY(begin(values...));
    return finish();
  }
  // The same up to its first row: next() then goes from row to row, true while there is one.
  template <class... Values>
  Result<void> begin(const Values&... values) {
    reset();
    int index = 0;
    (bind(++index, values), ...);
    return bound();
  }
  Result<bool> next();
  // Lets go of the rows that were not read: a statement in the middle of its rows keeps a transaction open.
  void reset();

  // Of the current row, columns from 0. NULL reads as 0 and as empty. Views hold until next() or reset().
  std::int64_t integer(int column) const;
  std::string_view text(int column) const;
  ByteView blob(int column) const;
  bool is_null(int column) const;

 private:
  friend class LocalDatabase;
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };
  template <class T>
  void bind(int index, const T& value) {
    if constexpr (std::is_same_v<T, std::nullptr_t>) bind_null(index);
    else if constexpr (std::is_integral_v<T>) bind_integer(index, static_cast<std::int64_t>(value));
    else if constexpr (std::is_convertible_v<T, std::string_view>) bind_text(index, value);
    else bind_blob(index, ByteView(value));
  }
  void bind_null(int index);
  void bind_integer(int index, std::int64_t value);
  void bind_text(int index, std::string_view value);
  void bind_blob(int index, ByteView value);
  Result<void> bound();
  Result<void> finish();
  Error failure(int code) const;

  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
  int status_ = 0;
};

class LocalDatabase {
 public:
  // Makes the file (0600) when absent and runs `schema`, statements that may be run again. What is committed survives
  // kill -9 always and a power loss too (WAL, synchronous=FULL).
  // With an `application_id` (not 0) a file that a person named cannot be another program's: invalid, and it is left as
  // it is, unless it is absent, empty or has that id.
  static Result<std::unique_ptr<LocalDatabase>> open(const std::string& path, std::string_view schema,
                                                     std::uint32_t application_id = 0);

  Result<void> execute(std::string_view sql);  // one or several statements without values
  Result<Statement> prepare(std::string_view sql);

  // Runs `body` in a transaction: committed when it succeeds, rolled back on its error.
  template <class Body>
  Result<void> transaction(Body&& body) {
    CAIRN_TRY(execute("BEGIN IMMEDIATE"));
    Result<void> done = body();
    if (done) done = execute("COMMIT");
    if (!done) roll_back();
    return done;
  }

 private:
  struct Close {
    void operator()(sqlite3* connection) const;
  };
  explicit LocalDatabase(std::string path) : path_(std::move(path)) {}
  Result<void> check_application_id(std::uint32_t ours);
  void roll_back();

  std::string path_;
  std::unique_ptr<sqlite3, Close> connection_;
};

}  // namespace cairn::sqlite
