#include "cli/history_picture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>
#include <vector>

namespace cairn::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

constexpr std::int64_t kHour = 3600 * 1000, kDay = 24 * kHour;
constexpr std::int64_t kNoon = 20'000 * kDay + 12 * kHour;

void add_state(ReplicaHistory& history, std::int64_t time_ms) {
  HistoryPoint point;
  point.state.sequence = history.points.size();
  point.state.time_ms = time_ms;
  history.points.push_back(point);
}

HistoryObject object_of(int level, std::int64_t first_ms, std::int64_t last_ms, std::uint64_t size_bytes) {
  HistoryObject object;
  object.level = level;
  object.is_snapshot = level < 0;
  object.first_time_ms = first_ms;
  object.last_time_ms = last_ms;
  object.size_bytes = size_bytes;
  return object;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

// Between the two edges of the line that begins with `label`.
std::string cells_of(const std::string& picture, const std::string& label) {
  for (const std::string& line : lines_of(picture)) {
    if (!line.starts_with(label)) continue;
    const std::size_t begin = line.find('|') + 1;
    return line.substr(begin, line.rfind('|') - begin);
  }
  return "no line '" + label + "'";
}

// Ten hours: two states in the first, eight in the sixth, one in the last; a snapshot in the first and the last.
ReplicaHistory ten_hours() {
  ReplicaHistory history;
  for (int i = 0; i < 2; ++i) add_state(history, kNoon + i);
  for (int i = 0; i < 8; ++i) add_state(history, kNoon + 5 * kHour + i);
  add_state(history, kNoon + 9 * kHour);
  history.objects = {object_of(-1, 0, kNoon, 3 << 20), object_of(-1, 0, kNoon + 9 * kHour, 1 << 20),
                     object_of(0, kNoon + 5 * kHour, kNoon + 9 * kHour, 2048),
                     object_of(1, kNoon, kNoon + 5 * kHour, 1024)};
  return history;
}

TEST(HistoryPicture, DrawsDensitySnapshotsLevelsAndSizes) {
  const std::string picture = history_picture(ten_hours(), {.width = 60});
  EXPECT_EQ(cells_of(picture, "states"), ".   " "      " "#" "       " ".");
  EXPECT_EQ(cells_of(picture, "snapshots"), "^                 ^");
  EXPECT_EQ(cells_of(picture, "level 0"), "          ---------");
  EXPECT_EQ(cells_of(picture, "level 1"), "-----------        ");
  EXPECT_THAT(picture, HasSubstr("| 11 states\n"));
  EXPECT_THAT(picture, HasSubstr("| 2 objects, 4.0 MiB\n"));
  EXPECT_THAT(picture, HasSubstr("| 1 object, 2.0 KiB\n"));
  EXPECT_THAT(picture, HasSubstr("a column is 30 minutes, the highest has 8 states"));
  EXPECT_THAT(picture, HasSubstr("04T12:00")) << "the time of the first column";
}

TEST(HistoryPicture, KeepsToItsWidthHoweverLongTheHistoryIs) {
  for (const std::int64_t span : {kHour / 60, kHour, 7 * kDay, 800 * kDay, 200'000 * kDay}) {
    for (const int width : {0, 60, 80, 133, 1000}) {
      ReplicaHistory history;
      for (int i = 0; i <= 50; ++i) add_state(history, kNoon + span / 50 * i);
      history.objects = {object_of(-1, 0, kNoon, 1), object_of(0, kNoon, kNoon + span, 1)};
      std::size_t widest = 0;
      for (const std::string& line : lines_of(history_picture(history, {.width = width}))) {
        widest = std::max(widest, line.size());
      }
      EXPECT_LE(widest, std::max(width, 60)) << span << " ms";
      EXPECT_GE(widest, 30u);
    }
  }
}

TEST(HistoryPicture, AsciiAndNoEscapesUnlessTheStyleSaysSo) {
  const auto is_ascii = [](char c) { return c == '\n' || (c >= ' ' && c < 127); };
  const std::string plain = history_picture(ten_hours(), {});
  EXPECT_TRUE(std::all_of(plain.begin(), plain.end(), is_ascii)) << plain;
  const std::string blocks = history_picture(ten_hours(), {.blocks = true});
  EXPECT_THAT(blocks, HasSubstr("█"));
  EXPECT_THAT(blocks, Not(HasSubstr("\033")));
  EXPECT_THAT(history_picture(ten_hours(), {.colour = true}), HasSubstr("\033[0m"));
}

TEST(HistoryPicture, WhatIsOutsideTheTimesOfTheStatesIsNotDrawn) {
  ReplicaHistory history = ten_hours();
  history.objects.push_back(object_of(2, kNoon - kDay, kNoon - kHour, 5));
  history.objects.push_back(object_of(3, kNoon + kDay, kNoon + 2 * kDay, 5));
  const std::string picture = history_picture(history, {.width = 60});
  EXPECT_THAT(cells_of(picture, "level 2"), Not(HasSubstr("-")));
  EXPECT_THAT(cells_of(picture, "level 3"), Not(HasSubstr("-")));
}

TEST(HistoryPicture, OneMomentIsNoPicture) {
  ReplicaHistory history;
  EXPECT_THAT(history_picture(history, {}), IsEmpty());
  add_state(history, kNoon);
  add_state(history, kNoon);
  EXPECT_THAT(history_picture(history, {}), IsEmpty());
  add_state(history, kNoon - 5 * kHour);  // a clock that jumped back
  EXPECT_THAT(history_picture(history, {}), StartsWith("states"));
}

}  // namespace
}  // namespace cairn::cli
