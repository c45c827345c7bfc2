// What bench_app can do. Each returns its figures as one JSON object.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "database.h"

namespace bench {

struct Options {
  std::map<std::string, std::string> values;

  std::string text(const std::string& name, const std::string& otherwise) const {
    const auto found = values.find(name);
    return found == values.end() ? otherwise : found->second;
  }
  std::int64_t number(const std::string& name, std::int64_t otherwise) const {
    return std::stoll(text(name, std::to_string(otherwise)));
  }
};

std::string fill(const std::string& database, const Options& options);
std::string write(const std::string& database, const Options& options);
std::string once(const std::string& database, const Options& options);
std::string quiet(const std::string& database, const Options& options);
std::string put(const std::string& directory, const Options& options);
std::string checkpoints(const std::string& database, const Options& options);

}  // namespace bench
