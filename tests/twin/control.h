// The twin from outside, for shell scripts: answers to unsigned requests below /-twin/ (no bucket can have that name).
//
//   GET  /-twin/counts                        "put_object 3\nget_object 1\n..."; faults and errors with them
//   POST /-twin/counts/reset
//   GET  /-twin/uploads?bucket=a              the keys of uploads that are neither completed nor aborted, one a line
//   POST /-twin/faults?seed=1&rate=10&faults=a,b&operations=c,d   rate in percent; none: no more faults
//   POST /-twin/fail?operation=a&fault=b&count=1&skip=0
//   POST /-twin/denied?operations=a,b         these are answered AccessDenied; none: all may be done
//   POST /-twin/latency?ms=30
//   POST /-twin/clock?ms=3600000              the server's clock is so far ahead
//   POST /-twin/dialect?name=ceph16
//   POST /-twin/expire                        all uploads are forgotten
#pragma once

#include "twin/message.h"
#include "twin/twin.h"

namespace cairn::twin {

Response answer_control(Twin& twin, const Request& request);

// "a,b,c"; nothing: one of them is not known.
std::optional<std::vector<Fault>> parse_faults(std::string_view text);  // "ordinary": ordinary_faults()
std::optional<Operations> parse_operations(std::string_view text);      // "all", "writes"

}  // namespace cairn::twin
