// bench_days: days of a database that publishes steadily, simulated (tests/support/long_run.h), and what is left of
// them, as one line of JSON.
//
// Real are: the database and its transactions, capturing, publishing, merging, removing and pruning, every object with
// all of its bytes, and restoring. Told are: the time, and the store, which is memory that counts.
#include <fmt/format.h>

#include <cstdlib>
#include <map>
#include <string>

#include "support/long_run.h"

namespace {

constexpr const char* kUsage =
    "bench_days [--days N] [--every-ms N] [--rows N] [--updates N] [--page-size N] [--hourly N] [--restores N]";

std::string counts_text(const cairn::StoreCounts& counts) {
  std::string text;
  for (std::size_t i = 0; i < cairn::kOperationCount; ++i) {
    const auto operation = static_cast<cairn::Operation>(i);
    if (counts.of(operation).calls == 0) continue;
    text += fmt::format(R"({}"{}": {})", text.empty() ? "" : ", ", cairn::name_of(operation),
                        counts.of(operation).calls);
  }
  return text;
}

std::string left_text(const cairn::testing::LongRunReport& report) {
  std::string text;
  for (const auto& [kind, amount] : report.left) {
    text += fmt::format(R"({}"{}": {{"objects": {}, "bytes": {}}})", text.empty() ? "" : ", ", kind, amount.objects,
                        amount.bytes);
  }
  return text;
}

}  // namespace

int main(int count, char** words) {
  std::map<std::string, std::string> given;
  for (int i = 1; i + 1 < count; i += 2) given[words[i]] = words[i + 1];
  if (count % 2 == 0) {
    fmt::print(stderr, "{}\n", kUsage);
    return 2;
  }
  const auto number = [&](const char* name, double otherwise) {
    return given.contains(name) ? std::strtod(given[name].c_str(), nullptr) : otherwise;
  };
  cairn::testing::LongRunOptions options;
  options.days = number("--days", options.days);
  options.every_ms = static_cast<std::int64_t>(number("--every-ms", static_cast<double>(options.every_ms)));
  options.rows = static_cast<int>(number("--rows", options.rows));
  options.updates = static_cast<int>(number("--updates", options.updates));
  options.page_size = static_cast<std::uint32_t>(number("--page-size", options.page_size));
  options.policy.hourly = static_cast<std::uint32_t>(number("--hourly", options.policy.hourly));
  options.restores = static_cast<std::uint64_t>(number("--restores", static_cast<double>(options.restores)));
  options.progress = true;
  const cairn::testing::LongRunReport report = cairn::testing::run_for_long(options);
  if (!report.failure.empty()) {
    fmt::print(stderr, "bench_days: {}\n", report.failure);
    return 1;
  }
  fmt::print(R"({{"publishes": {}, "day_bytes": {}, "most_objects": {}, "prunes": {}, "restore_points": {}, )"
             R"("restores": {}, "most_requests": {}, "most_requests_by_time": {}, "sent_bytes": {}, )"
             R"("received_bytes": {}, "calls": {{{}}}, "left": {{{}}}}})" "\n",
             report.publishes, report.day_bytes, report.most_objects, report.prunes, report.restore_points,
             report.restores, report.most_requests, report.most_requests_by_time, report.counts.total().sent_bytes,
             report.counts.total().received_bytes, counts_text(report.counts), left_text(report));
  return 0;
}
