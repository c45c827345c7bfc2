// How the command speaks: sentences and tables for people, JSON for programs.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "cairn/error.h"
#include "cli/exit_status.h"

namespace cairn::cli {

enum class Style { text, json };
inline Style style_of(bool json) { return json ? Style::json : Style::text; }

// Keys in the order in which they were set: what is read by people too should not be shuffled.
using Json = nlohmann::ordered_json;

// One line on standard output, at once. Bytes that are not UTF-8 (file names) become U+FFFD. Whatever becomes of it,
// the command goes on.
void print_json(const Json& json);
void print_line(const std::string& line);
// False: some of that could not be written, and not because its reader had enough.
bool all_is_printed();
// Text on standard error, as it is.
void print_error_text(std::string_view text);

// "cairn: <sentence>" on standard error, with Style::json also {"error": {"kind", "message"}} on standard output.
// Returns the exit status.
int report(const Failure& failure, Style style);
// The same for a mistake in the command line.
int report_usage(const std::string& message, Style style);

// "1.5 MiB"; below 1 KiB "317 bytes".
std::string size_text(std::uint64_t size_bytes);
// "1 segment", "2 segments".
std::string count_text(std::uint64_t count, const char* noun);
// "2026-11-21T08:00:00.123Z"; "-": never.
std::string time_text(std::int64_t time_ms);

// Rows of equal length; the first is the heading. Numbers (as their text says) are set flush right.
std::string table_text(const std::vector<std::vector<std::string>>& rows);

}  // namespace cairn::cli
