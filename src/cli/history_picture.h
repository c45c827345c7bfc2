// The restore points of a replica as a picture: how dense they are over time, and which objects hold them.
#pragma once

#include <string>

#include "cairn/restore.h"

namespace cairn::cli {

struct PictureStyle {
  int width = 80;       // columns
  bool blocks = false;  // the block characters of Unicode; without, ASCII alone
  bool colour = false;  // escape sequences of terminals
};

// Standard output's: its width, colour when it is a terminal (unless NO_COLOR is set), blocks when the locale is UTF-8.
PictureStyle picture_style();
bool is_terminal();  // standard output

// A line of time in equal columns, each as high as it has states; below it a mark for each snapshot, and for each level
// a line where its objects lie, with how many they are and how large. Times are those that the states carry: a clock
// that jumped shows. Empty: there are less than two moments to draw between.
std::string history_picture(const ReplicaHistory& history, const PictureStyle& style);

}  // namespace cairn::cli
