#include "cli/log.h"

#include <spdlog/sinks/stdout_sinks.h>

#include <nlohmann/json.hpp>

#include "base/clock.h"

namespace cairn::cli {

Log::Log(std::shared_ptr<spdlog::logger> logger, LogFormat format) : logger_(std::move(logger)), format_(format) {
  if (format_ == LogFormat::json) {
    logger_->set_pattern("%v");  // the time is in the line
  } else {
    logger_->set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %l %v", spdlog::pattern_time_type::utc);
  }
}

Log Log::to_standard_error(const std::string& level, LogFormat format) {
  auto logger = std::make_shared<spdlog::logger>("cairn", std::make_shared<spdlog::sinks::stderr_sink_mt>());
  logger->set_level(spdlog::level::from_str(level));
  return {std::move(logger), format};
}

Log Log::about_database(std::string path, std::optional<std::uint64_t> sequence) const {
  Log log = *this;
  log.database_ = std::move(path);
  log.sequence_ = sequence;
  return log;
}

Log Log::about_container(std::string name) const {
  Log log = *this;
  log.container_ = std::move(name);
  return log;
}

void Log::write(spdlog::level::level_enum level, const std::string& message) const {
  if (!logger_->should_log(level)) return;
  logger_->log(level, spdlog::string_view_t(format_ == LogFormat::json ? json_line(level, message)
                                                                       : text_line(message)));
}

// Sentences mostly begin with what they are about.
std::string Log::text_line(const std::string& message) const {
  const std::string& about = container_.empty() ? database_ : container_;
  std::string line = about.empty() || message.starts_with(about) ? message : about + ": " + message;
  if (sequence_) line += fmt::format(" [sequence {}]", *sequence_);
  return line;
}

std::string Log::json_line(spdlog::level::level_enum level, const std::string& message) const {
  nlohmann::ordered_json json;
  json["time"] = format_time(SystemClock().now().wall_ms);
  json["level"] = spdlog::level::to_string_view(level).data();
  if (!database_.empty()) json["database"] = database_;
  if (!container_.empty()) json["container"] = container_;
  if (sequence_) json["sequence"] = *sequence_;
  json["message"] = message;
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace cairn::cli
