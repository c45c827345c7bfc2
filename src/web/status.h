// What a daemon keeps replicated, as JSON: for the page, and for programs. docs/operations.md has the members.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/fleet.h"

namespace cairn::web {

// Which databases, and in what order; the sums are always of all.
struct StatusQuery {
  enum class Sort { trouble, lag, spool, name };
  std::string search;            // part of its path or replica, small and capital letters alike
  Sort sort = Sort::name;        // trouble: what fails first, then by lag
  std::size_t offset = 0, limit = 1'000'000;
};

// Of "search=x&sort=lag&offset=0&limit=100"; what it does not know it leaves as it is.
StatusQuery parse_status_query(std::string_view query);

std::string status_json(const daemon::FleetView& view, const StatusQuery& query, const std::string& version);

// Why it is not ready, a sentence each; empty: it is. At most some of many.
std::vector<std::string> why_not_ready(const daemon::FleetView& view);

}  // namespace cairn::web
