#include "cli/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "base/clock.h"
#include "cli/output.h"

namespace cairn::cli {

namespace {

constexpr std::int64_t kRedrawMs = 100;
constexpr std::uint64_t kWidth = 30;

}  // namespace

ProgressBar::ProgressBar(std::string label, Unit unit)
    : label_(std::move(label)), unit_(unit), on_terminal_(::isatty(STDERR_FILENO) == 1) {}

void ProgressBar::show(std::uint64_t done, std::uint64_t total) {
  if (!on_terminal_ || total == 0) return;
  MutexLock lock(mutex_);
  const std::int64_t now = monotonic_ms();
  if (visible_ && now - drawn_ms_ < kRedrawMs && done < total) return;
  drawn_ms_ = now;
  visible_ = true;
  print_error_text(fmt::format("\r\033[K{}", text(std::min(done, total), total)));
}

void ProgressBar::clear() {
  MutexLock lock(mutex_);
  if (!visible_) return;
  visible_ = false;
  print_error_text("\r\033[K");
}

std::string ProgressBar::text(std::uint64_t done, std::uint64_t total) const {
  const double part = static_cast<double>(done) / static_cast<double>(total);
  const auto filled = static_cast<std::uint64_t>(part * static_cast<double>(kWidth));
  std::string amount;
  switch (unit_) {
    case Unit::bytes: amount = fmt::format("{} of {}", size_text(done), size_text(total)); break;
    case Unit::pages: amount = fmt::format("{} of {} pages", done, total); break;
    case Unit::objects: amount = fmt::format("{} of {} objects", done, total); break;
  }
  return fmt::format("{} [{:#<{}}{:.<{}}] {:3.0f}%  {}", label_, "", filled, "", kWidth - filled, part * 100, amount);
}

}  // namespace cairn::cli
