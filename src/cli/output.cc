#include "cli/output.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cstdio>

#include "base/clock.h"

namespace cairn::cli {

namespace {

// A disk that is full, or a reader who has gone, is no reason to end in the middle of anything: fmt::print would throw.
void write_out(std::FILE* stream, std::string_view text) {
  errno = 0;
  const bool written = std::fwrite(text.data(), 1, text.size(), stream) == text.size() && std::fflush(stream) == 0;
  if (!written && errno == EPIPE) std::clearerr(stream);
}

bool is_number(const std::string& text) { return !text.empty() && std::isdigit(static_cast<unsigned char>(text[0])); }

}  // namespace

void print_line(const std::string& line) { write_out(stdout, line + "\n"); }

bool all_is_printed() { return std::ferror(stdout) == 0; }

void print_error_text(std::string_view text) { write_out(stderr, text); }

void print_json(const Json& json) { print_line(json.dump(-1, ' ', false, Json::error_handler_t::replace)); }

int report(const Failure& failure, Style style) {
  print_error_text(fmt::format("cairn: {}\n", failure.error.message()));
  if (style == Style::json) {
    Json body;
    body["kind"] = name_of(failure.error.kind());
    body["message"] = failure.error.message();
    print_json({{"error", body}});
  }
  return exit_status(failure.error.kind(), failure.origin);
}

int report_usage(const std::string& message, Style style) {
  return report({Error(ErrorKind::invalid, message), Origin::local}, style);
}

std::string size_text(std::uint64_t size_bytes) {
  static constexpr std::array kUnits{"KiB", "MiB", "GiB", "TiB"};
  if (size_bytes < 1024) return count_text(size_bytes, "byte");
  double size = static_cast<double>(size_bytes) / 1024;
  std::size_t unit = 0;
  for (; size >= 1024 && unit + 1 < kUnits.size(); ++unit) size /= 1024;
  return fmt::format("{:.1f} {}", size, kUnits[unit]);
}

std::string time_text(std::int64_t time_ms) { return time_ms > 0 ? format_time(time_ms) : "-"; }

std::string count_text(std::uint64_t count, const char* noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

std::string table_text(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths(rows.empty() ? 0 : rows[0].size(), 0);
  std::vector<bool> flush_right(widths.size(), rows.size() > 1);
  for (std::size_t r = 0; r < rows.size(); ++r) {
    for (std::size_t c = 0; c < widths.size(); ++c) {
      widths[c] = std::max(widths[c], rows[r][c].size());
      if (r > 0 && (!is_number(rows[r][c]) || rows[r][c].find('T') != std::string::npos)) flush_right[c] = false;
    }
  }
  std::string text;
  for (const std::vector<std::string>& row : rows) {
    std::string line;
    for (std::size_t c = 0; c < widths.size(); ++c) {
      if (c > 0) line += "  ";
      line += flush_right[c] ? fmt::format("{:>{}}", row[c], widths[c]) : fmt::format("{:<{}}", row[c], widths[c]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  if (!text.empty()) text.pop_back();
  return text;
}

}  // namespace cairn::cli
