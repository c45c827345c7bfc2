#include "base/clock.h"

#include <fmt/format.h>
#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <ctime>

#include "base/check.h"

namespace cairn {

namespace {

constexpr std::int64_t kMsPerSecond = 1000;
constexpr std::int64_t kSecondsPerDay = 86400;

struct CivilTime {
  int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0, ms = 0;
};

std::int64_t floor_div(std::int64_t a, std::int64_t b) { return a / b - (a % b < 0 ? 1 : 0); }

CivilTime civil_from_ms(std::int64_t wall_ms) {
  const std::int64_t seconds = floor_div(wall_ms, kMsPerSecond);
  const std::int64_t days = floor_div(seconds, kSecondsPerDay);
  const std::chrono::year_month_day date{std::chrono::sys_days{std::chrono::days{days}}};
  const int rest = static_cast<int>(seconds - days * kSecondsPerDay);
  CivilTime t;
  t.year = static_cast<int>(date.year());
  t.month = static_cast<int>(static_cast<unsigned>(date.month()));
  t.day = static_cast<int>(static_cast<unsigned>(date.day()));
  t.hour = rest / 3600;
  t.minute = rest / 60 % 60;
  t.second = rest % 60;
  t.ms = static_cast<int>(wall_ms - seconds * kMsPerSecond);
  return t;
}

// False where a field is out of its range: month 13, 30 February, second 60.
bool ms_from_civil(const CivilTime& t, std::int64_t& wall_ms) {
  const std::chrono::year_month_day date{std::chrono::year{t.year},
                                         std::chrono::month{static_cast<unsigned>(t.month)},
                                         std::chrono::day{static_cast<unsigned>(t.day)}};
  if (!date.ok() || t.hour > 23 || t.minute > 59 || t.second > 59) return false;
  const std::int64_t days = std::chrono::sys_days{date}.time_since_epoch().count();
  const std::int64_t seconds = days * kSecondsPerDay + t.hour * 3600 + t.minute * 60 + t.second;
  wall_ms = seconds * kMsPerSecond + t.ms;
  return true;
}

// A text that is eaten from the left.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : rest_(text) {}

  bool at_end() const { return rest_.empty(); }
  bool eat(char c) {
    if (rest_.empty() || rest_.front() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  bool digit(int& value) {
    if (rest_.empty() || rest_.front() < '0' || rest_.front() > '9') return false;
    value = rest_.front() - '0';
    rest_.remove_prefix(1);
    return true;
  }
  // Exactly `count` digits.
  bool number(int count, int& value) {
    value = 0;
    for (int i = 0, d = 0; i < count; ++i) {
      if (!digit(d)) return false;
      value = value * 10 + d;
    }
    return true;
  }

 private:
  std::string_view rest_;
};

// One to nine digits after the point; what is finer than a millisecond is cut off.
bool scan_fraction(Scanner& in, int& ms) {
  int digits = 0;
  ms = 0;
  for (int d = 0; digits < 9 && in.digit(d); ++digits) {
    if (digits < 3) ms = ms * 10 + d;
  }
  for (int i = digits; i < 3; ++i) ms *= 10;
  return digits > 0;
}

// "", "Z", "+02:00", "-0330": minutes to subtract to get UTC.
bool scan_zone(Scanner& in, int& offset_minutes) {
  offset_minutes = 0;
  if (in.at_end() || in.eat('Z') || in.eat('z')) return in.at_end();
  const bool west = in.eat('-');
  if (!west && !in.eat('+')) return false;
  int hours = 0, minutes = 0;
  if (!in.number(2, hours)) return false;
  in.eat(':');
  if (!in.number(2, minutes) || hours > 23 || minutes > 59) return false;
  offset_minutes = (hours * 60 + minutes) * (west ? -1 : 1);
  return in.at_end();
}

bool scan_time(std::string_view text, std::int64_t& wall_ms) {
  Scanner in(text);
  CivilTime t;
  int offset_minutes = 0;
  if (!in.number(4, t.year) || !in.eat('-') || !in.number(2, t.month) || !in.eat('-') || !in.number(2, t.day))
    return false;
  if (!in.at_end()) {
    if (!in.eat('T') && !in.eat('t') && !in.eat(' ')) return false;
    if (!in.number(2, t.hour) || !in.eat(':') || !in.number(2, t.minute) || !in.eat(':') || !in.number(2, t.second))
      return false;
    if (in.eat('.') && !scan_fraction(in, t.ms)) return false;
    if (!scan_zone(in, offset_minutes)) return false;
  }
  if (!ms_from_civil(t, wall_ms)) return false;
  wall_ms -= std::int64_t{offset_minutes} * 60 * kMsPerSecond;
  return true;
}

bool scan_compact_time(std::string_view text, std::int64_t& wall_ms) {
  Scanner in(text);
  CivilTime t;
  return in.number(4, t.year) && in.number(2, t.month) && in.number(2, t.day) && in.eat('_') &&
         in.number(2, t.hour) && in.number(2, t.minute) && in.number(2, t.second) && in.at_end() &&
         ms_from_civil(t, wall_ms);
}

}  // namespace

std::int64_t monotonic_ms() {
  const auto since_start = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(since_start).count();
}

std::int64_t boot_ms() {
  timespec now{};
  (void)::clock_gettime(CLOCK_BOOTTIME, &now);
  return now.tv_sec * kMsPerSecond + now.tv_nsec / 1'000'000;
}

std::int64_t thread_cpu_us() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return std::int64_t{now.tv_sec} * 1'000'000 + now.tv_nsec / 1000;
}

Time SystemClock::now() {
  const auto since_epoch = std::chrono::system_clock::now().time_since_epoch();
  Time time;
  time.wall_ms = std::chrono::floor<std::chrono::milliseconds>(since_epoch).count();
  time.mono_us = mono_us();
  return time;
}

std::int64_t SystemClock::mono_us() {
  const auto since_start = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::floor<std::chrono::microseconds>(since_start).count();
}

Id128 Random::id() {
  Id128 id;
  for (std::size_t i = 0; i < id.bytes.size(); i += 8) {
    const std::uint64_t bits = next();
    for (std::size_t k = 0; k < 8; ++k) id.bytes[i + k] = static_cast<std::uint8_t>(bits >> (8 * k));
  }
  return id;
}

std::uint64_t SystemRandom::next() {
  std::uint64_t bits = 0;
  ssize_t got = 0;
  do {
    got = ::getrandom(&bits, sizeof bits, 0);
  } while (got < 0 && errno == EINTR);
  CAIRN_CHECK(got == static_cast<ssize_t>(sizeof bits));
  return bits;
}

// Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014).
std::uint64_t SeededRandom::next() {
  std::uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

void SeededRandom::fill(std::span<std::byte> bytes, std::uint64_t mask) {
  for (std::size_t at = 0; at < bytes.size(); at += sizeof(mask)) {
    const std::uint64_t value = next() & mask;
    std::memcpy(bytes.data() + at, &value, std::min(sizeof(value), bytes.size() - at));
  }
}

std::string SeededRandom::bytes(std::size_t size) {
  std::string text(size, '\0');
  fill(std::as_writable_bytes(std::span(text)));
  return text;
}

std::string format_time(std::int64_t wall_ms) {
  const CivilTime t = civil_from_ms(wall_ms);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", t.year, t.month, t.day, t.hour, t.minute, t.second,
                     t.ms);
}

Result<std::int64_t> parse_time(std::string_view text) {
  std::int64_t wall_ms = 0;
  if (scan_time(text, wall_ms)) return wall_ms;
  return Error(
      ErrorKind::invalid,
      fmt::format("'{}' is not a time: write it like 2026-11-21T08:00:00Z, 2026-11-21 10:00:00+02:00 or 2026-11-21",
                  text));
}

std::string format_compact_time(std::int64_t wall_ms) {
  const CivilTime t = civil_from_ms(wall_ms);
  return fmt::format("{:04}{:02}{:02}_{:02}{:02}{:02}", t.year, t.month, t.day, t.hour, t.minute, t.second);
}

Result<std::int64_t> parse_compact_time(std::string_view text) {
  std::int64_t wall_ms = 0;
  if (scan_compact_time(text, wall_ms)) return wall_ms;
  return Error(ErrorKind::invalid, fmt::format("'{}' is not a time of the form YYYYMMDD_HHMMSS", text));
}

}  // namespace cairn
