// What is told on standard error while something runs, for people or, a JSON object a line, for what collects logs. Each
// line about a database says which one, and up to which sequence it is published.
#pragma once

#include <fmt/format.h>
#include <spdlog/logger.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace cairn::cli {

enum class LogFormat { text, json };

// A value: copies write to the same place. Any thread.
class Log {
 public:
  // Where the sink's pattern is set here.
  Log(std::shared_ptr<spdlog::logger> logger, LogFormat format);
  // `level`: debug, info, warn, error, off.
  static Log to_standard_error(const std::string& level, LogFormat format);

  // The same log, of which every line is about one database (its path), or one container (its name).
  Log about_database(std::string path, std::optional<std::uint64_t> sequence = std::nullopt) const;
  Log about_container(std::string name) const;

  template <class... Args>
  void debug(fmt::format_string<Args...> format, Args&&... args) const {
    write(spdlog::level::debug, fmt::format(format, std::forward<Args>(args)...));
  }
  template <class... Args>
  void info(fmt::format_string<Args...> format, Args&&... args) const {
    write(spdlog::level::info, fmt::format(format, std::forward<Args>(args)...));
  }
  template <class... Args>
  void warn(fmt::format_string<Args...> format, Args&&... args) const {
    write(spdlog::level::warn, fmt::format(format, std::forward<Args>(args)...));
  }
  template <class... Args>
  void error(fmt::format_string<Args...> format, Args&&... args) const {
    write(spdlog::level::err, fmt::format(format, std::forward<Args>(args)...));
  }

 private:
  void write(spdlog::level::level_enum level, const std::string& message) const;
  std::string text_line(const std::string& message) const;
  std::string json_line(spdlog::level::level_enum level, const std::string& message) const;

  std::shared_ptr<spdlog::logger> logger_;
  LogFormat format_;
  std::string database_, container_;
  std::optional<std::uint64_t> sequence_;
};

}  // namespace cairn::cli
