#include "support/application.h"

#include <sqlite3.h>

#include <cstdio>
#include <cstdlib>
#include <vector>

namespace cairn::testing {
namespace {

// A broken database under test is the end of the run: printed at once, because what follows would only obscure it.
[[noreturn]] void broken(sqlite3* connection, const std::string& path, const std::string& what) {
  std::fprintf(stderr, "%s: %s: %s (SQLite code %d)\n", path.c_str(), what.c_str(), sqlite3_errmsg(connection),
               sqlite3_extended_errcode(connection));
  std::abort();
}

void noise_function(sqlite3_context* context, int, sqlite3_value** arguments) {
  const auto& noise = *static_cast<Application::Noise*>(sqlite3_user_data(context));
  const int size = sqlite3_value_int(arguments[0]);
  std::vector<unsigned char> bytes(static_cast<std::size_t>(size < 0 ? 0 : size));
  for (std::size_t i = 0; i < bytes.size(); i += 16) {  // every other word: compressible by half, like real data
    const std::uint64_t word = noise();
    for (std::size_t k = 0; k < 8 && i + k < bytes.size(); ++k)
      bytes[i + k] = static_cast<unsigned char>(word >> 8 * k);
  }
  sqlite3_result_blob(context, bytes.data(), static_cast<int>(bytes.size()), SQLITE_TRANSIENT);
}

struct Wait {
  int waits = 0, max_waits = 0;
  const std::function<void()>* on_wait = nullptr;
};

int wait_handler(void* argument, int) {
  auto& wait = *static_cast<Wait*>(argument);
  if (wait.waits >= wait.max_waits) return 0;
  ++wait.waits;
  (*wait.on_wait)();
  return 1;
}

bool is_busy(int code) {
  return (code & 0xff) == SQLITE_BUSY || (code & 0xff) == SQLITE_LOCKED || (code & 0xff) == SQLITE_PROTOCOL;
}

}  // namespace

Application::Application(const std::string& path, Noise noise) : path_(path), noise_(std::move(noise)) {
  const int code =
      sqlite3_open_v2(path.c_str(), &handle_, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nullptr);
  if (code != SQLITE_OK) broken(handle_, path_, "open");
  sqlite3_extended_result_codes(handle_, 1);
  sqlite3_busy_timeout(handle_, 0);
  sqlite3_create_function(handle_, "noise", 1, SQLITE_UTF8, &noise_, noise_function, nullptr, nullptr);
}

Application::~Application() {
  if (handle_ == nullptr) return;
  sqlite3_db_config(handle_, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  sqlite3_close(handle_);
}

void Application::close() {
  sqlite3_close(handle_);
  handle_ = nullptr;
}

bool Application::in_transaction() const { return sqlite3_get_autocommit(handle_) == 0; }

SqlResult Application::run(const std::string& sql) {
  const int code = sqlite3_exec(handle_, sql.c_str(), nullptr, nullptr, nullptr);
  if (code == SQLITE_OK) return SqlResult::done;
  if (!is_busy(code)) broken(handle_, path_, sql.substr(0, 200));
  if (in_transaction()) sqlite3_exec(handle_, "ROLLBACK", nullptr, nullptr, nullptr);
  occupation = Occupation::idle;
  return SqlResult::busy;
}

std::string Application::text(const std::string& sql) {
  sqlite3_stmt* statement = nullptr;
  int code = sqlite3_prepare_v2(handle_, sql.c_str(), -1, &statement, nullptr);
  if (code == SQLITE_OK) code = sqlite3_step(statement);
  std::string result;
  if (code == SQLITE_ROW) {
    const auto* value = sqlite3_column_text(statement, 0);
    result = value == nullptr ? "" : reinterpret_cast<const char*>(value);
  } else if (code != SQLITE_DONE && !is_busy(code)) {
    broken(handle_, path_, sql);
  }
  sqlite3_finalize(statement);
  return result;
}

std::int64_t Application::number(const std::string& sql) {
  const std::string result = text(sql);
  return result.empty() ? -1 : std::strtoll(result.c_str(), nullptr, 10);
}

Application::CheckpointResult Application::checkpoint(int mode, int max_waits, const std::function<void()>& on_wait) {
  Wait wait{0, max_waits, &on_wait};
  sqlite3_busy_handler(handle_, wait_handler, &wait);
  CheckpointResult result;
  const int code = sqlite3_wal_checkpoint_v2(handle_, "main", mode, &result.wal_frames, &result.backfilled);
  sqlite3_busy_handler(handle_, nullptr, nullptr);
  result.waits = wait.waits;
  if (code != SQLITE_OK && !is_busy(code)) broken(handle_, path_, "checkpoint");
  result.outcome = code == SQLITE_OK ? SqlResult::done : SqlResult::busy;
  return result;
}

}  // namespace cairn::testing
