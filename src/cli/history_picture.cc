#include "cli/history_picture.h"

#include <fmt/format.h>
#include <langinfo.h>
#include <locale.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "cli/output.h"

namespace cairn::cli {

namespace {

constexpr std::size_t kLabel = 10;    // "snapshots "
constexpr std::size_t kBehind = 26;   // "  12345 objects, 999.9 MiB"
constexpr std::size_t kFewest = 20, kMost = 400;  // columns of the line of time
constexpr std::size_t kTickEvery = 12;

constexpr std::int64_t kMinute = 60'000, kHour = 60 * kMinute, kDay = 24 * kHour;
constexpr std::array<std::int64_t, 24> kSteps{
    1'000,       2'000,        5'000,        10'000,    15'000,    30'000,    kMinute,    2 * kMinute,
    5 * kMinute, 10 * kMinute, 15 * kMinute, 30 * kMinute, kHour,  2 * kHour, 3 * kHour,  6 * kHour,
    12 * kHour,  kDay,         2 * kDay,     7 * kDay,  14 * kDay, 30 * kDay, 91 * kDay,  365 * kDay};

struct Drawn {
  std::array<std::string_view, 8> heights;  // from the lowest on
  std::string_view snapshot, covered, edge;
};
constexpr Drawn kBlocks{{"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"}, "▲", "▄", "▏"};
constexpr Drawn kPlain{{".", ".", ":", ":", "=", "=", "#", "#"}, "^", "-", "|"};

// Columns of equal length, the first of which begins at a whole hour, day or whatever its length is.
struct TimeLine {
  std::int64_t begin_ms = 0, step_ms = 1;
  std::size_t columns = 1;

  bool shows(std::int64_t first_ms, std::int64_t last_ms) const {
    return last_ms >= begin_ms && first_ms < begin_ms + step_ms * static_cast<std::int64_t>(columns);
  }
  std::size_t column_of(std::int64_t time_ms) const {
    const std::int64_t column = (time_ms - begin_ms) / step_ms;
    return static_cast<std::size_t>(std::clamp<std::int64_t>(column, 0, static_cast<std::int64_t>(columns) - 1));
  }
};

TimeLine time_line(std::int64_t first_ms, std::int64_t last_ms, std::size_t most_columns) {
  TimeLine line;
  for (const std::int64_t step : kSteps) {
    line.step_ms = step;
    line.begin_ms = first_ms - ((first_ms % step) + step) % step;
    line.columns = static_cast<std::size_t>((last_ms - line.begin_ms) / step) + 1;
    if (line.columns <= most_columns) return line;
  }
  line.step_ms = ((last_ms - first_ms) / static_cast<std::int64_t>(most_columns) / kDay + 1) * kDay;
  line.begin_ms = first_ms;
  line.columns = most_columns;
  return line;
}

std::string length_text(std::int64_t ms) {
  if (ms % kDay == 0) return count_text(static_cast<std::uint64_t>(ms / kDay), "day");
  if (ms % kHour == 0) return count_text(static_cast<std::uint64_t>(ms / kHour), "hour");
  if (ms % kMinute == 0) return count_text(static_cast<std::uint64_t>(ms / kMinute), "minute");
  return count_text(static_cast<std::uint64_t>(ms / 1000), "second");
}

// As much of a time as tells neighbouring ticks apart.
std::string tick_text(std::int64_t time_ms, const TimeLine& line) {
  const std::string whole = format_time(time_ms);  // 2026-11-26T06:30:00.000Z
  const std::int64_t between = line.step_ms * static_cast<std::int64_t>(kTickEvery);
  if (between < 10 * kMinute) return whole.substr(11, 8);
  if (between < 12 * kHour) return whole.substr(8, 2) + "T" + whole.substr(11, 5);
  if (between < 90 * kDay) return whole.substr(5, 5);
  return whole.substr(0, 7);
}

class Picture {
 public:
  Picture(const ReplicaHistory& history, const PictureStyle& style, const TimeLine& line)
      : history_(history), style_(style), line_(line), drawn_(style.blocks ? kBlocks : kPlain) {}

  std::string text() {
    draw_states();
    draw_objects();
    draw_axis();
    return text_;
  }

 private:
  using Cells = std::vector<std::string_view>;

  void draw_states() {
    std::vector<std::uint64_t> counts(line_.columns);
    for (const HistoryPoint& point : history_.points) ++counts[line_.column_of(point.state.time_ms)];
    const std::uint64_t most = *std::max_element(counts.begin(), counts.end());
    Cells cells(line_.columns, " ");
    for (std::size_t i = 0; i < counts.size(); ++i) {
      if (counts[i] > 0) cells[i] = drawn_.heights[(counts[i] * drawn_.heights.size() - 1) / most];
    }
    add_row("states", cells, "36", count_text(history_.points.size(), "state"));
    caption_ = fmt::format("a column is {}, the highest has {}", length_text(line_.step_ms),
                           count_text(most, "state"));
  }

  void draw_objects() {
    struct Row {
      Cells cells;
      std::uint64_t objects = 0, bytes = 0;
    };
    std::map<int, Row> rows;  // snapshots first, then by level
    for (const HistoryObject& object : history_.objects) {
      Row& row = rows[object.is_snapshot ? -1 : object.level];
      row.cells.resize(line_.columns, " ");
      ++row.objects;
      row.bytes += object.size_bytes;
      const std::int64_t first_ms = object.is_snapshot ? object.last_time_ms : object.first_time_ms;
      if (!line_.shows(first_ms, object.last_time_ms)) continue;
      const std::size_t end = line_.column_of(object.last_time_ms);
      const std::string_view mark = object.is_snapshot ? drawn_.snapshot : drawn_.covered;
      for (std::size_t i = line_.column_of(first_ms); i <= end; ++i) row.cells[i] = mark;
    }
    for (const auto& [level, row] : rows) {
      add_row(level < 0 ? "snapshots" : fmt::format("level {}", level), row.cells, level < 0 ? "32" : "34",
              fmt::format("{}, {}", count_text(row.objects, "object"), size_text(row.bytes)));
    }
  }

  void draw_axis() {
    std::string ticks, labels;
    for (std::size_t i = 0; i < line_.columns; i += kTickEvery) {
      ticks.resize(i, ' ');
      labels.resize(i, ' ');
      ticks += '|';
      labels += tick_text(line_.begin_ms + static_cast<std::int64_t>(i) * line_.step_ms, line_);
    }
    const std::string margin(kLabel + 1, ' ');
    text_ += margin + ticks + "\n" + margin + labels + "\n" + margin + caption_;
  }

  void add_row(std::string_view label, const Cells& cells, std::string_view colour, const std::string& behind) {
    std::string bar;
    for (const std::string_view cell : cells) bar += cell;
    if (style_.colour) bar = fmt::format("\033[{}m{}\033[0m", colour, bar);
    text_ += fmt::format("{:<{}}{}{}{} {}\n", label, kLabel, drawn_.edge, bar, drawn_.edge, behind);
  }

  const ReplicaHistory& history_;
  const PictureStyle& style_;
  const TimeLine& line_;
  const Drawn& drawn_;
  std::string text_, caption_;
};

bool locale_is_utf8() {
  const locale_t locale = ::newlocale(LC_CTYPE_MASK, "", nullptr);
  if (locale == nullptr) return false;
  const bool utf8 = std::string_view(::nl_langinfo_l(CODESET, locale)) == "UTF-8";
  ::freelocale(locale);
  return utf8;
}

}  // namespace

bool is_terminal() { return ::isatty(STDOUT_FILENO) == 1; }

PictureStyle picture_style() {
  PictureStyle style;
  style.blocks = locale_is_utf8();
  const char* no_colour = std::getenv("NO_COLOR");
  style.colour = is_terminal() && (no_colour == nullptr || *no_colour == '\0');
  winsize size{};
  if (is_terminal() && ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) style.width = size.ws_col;
  return style;
}

std::string history_picture(const ReplicaHistory& history, const PictureStyle& style) {
  if (history.points.empty()) return "";
  const auto [first, last] =
      std::minmax_element(history.points.begin(), history.points.end(),
                          [](const auto& a, const auto& b) { return a.state.time_ms < b.state.time_ms; });
  if (first->state.time_ms == last->state.time_ms) return "";
  const auto width = static_cast<std::size_t>(std::max(style.width, 0));
  const std::size_t beside = kLabel + kBehind + 2;
  const std::size_t room = std::clamp(width > beside ? width - beside : 0, kFewest, kMost);
  const TimeLine line = time_line(first->state.time_ms, last->state.time_ms, room);
  return Picture(history, style, line).text();
}

}  // namespace cairn::cli
