#include "twin/control.h"

#include <fmt/format.h>

#include "twin/text.h"

namespace cairn::twin {
namespace {

Response text_answer(int status, std::string text) {
  Response response;
  response.status = status;
  response.body = Rope::of(text);
  return response.with("content-type", "text/plain");
}

class Arguments {
 public:
  explicit Arguments(std::string_view query) {
    for (const std::string_view item : split(query, '&')) {
      const std::size_t equals = item.find('=');
      if (equals == std::string_view::npos) continue;
      values_[std::string(item.substr(0, equals))] = percent_decode(item.substr(equals + 1)).value_or("");
    }
  }
  std::string text(const std::string& name) const {
    const auto found = values_.find(name);
    return found == values_.end() ? "" : found->second;
  }
  // With a sign; 0: it is not there.
  std::int64_t number(const std::string& name, std::int64_t otherwise = 0) const {
    const std::string value = text(name);
    if (value.empty()) return otherwise;
    const bool is_negative = value.starts_with('-');
    const auto size = static_cast<std::int64_t>(parse_number(value.substr(is_negative ? 1 : 0)).value_or(0));
    return is_negative ? -size : size;
  }

 private:
  std::map<std::string, std::string> values_;
};

std::string text_of(const Counts& counts) {
  std::string out;
  for (std::size_t i = 0; i < kOperationCount; ++i) {
    const Operation operation = static_cast<Operation>(i);
    if (counts.requests[operation] > 0) out += fmt::format("{} {}\n", name_of(operation), counts.requests[operation]);
  }
  for (const auto& [code, count] : counts.errors) out += fmt::format("error.{} {}\n", code, count);
  for (const Fault fault : every_fault()) {
    if (counts.of(fault) > 0) out += fmt::format("fault.{} {}\n", name_of(fault), counts.of(fault));
  }
  return out + fmt::format("requests {}\nconnections {}\nbytes_in {}\nbytes_out {}\n", counts.all_requests(),
                           counts.connections, counts.bytes_in, counts.bytes_out);
}

std::string uploads_of(Twin& twin, const std::string& bucket) {
  std::string out;
  for (const std::string& key : twin.upload_keys(bucket)) out += key + "\n";
  return out;
}

bool set_faults(Twin& twin, const Arguments& arguments) {
  FaultPlan plan;
  plan.seed = static_cast<std::uint64_t>(arguments.number("seed", 1));
  plan.per_mille = static_cast<int>(arguments.number("rate") * 10);
  const auto faults = parse_faults(arguments.text("faults"));
  const auto operations = parse_operations(arguments.text("operations"));
  if (!faults || !operations) return false;
  plan.faults = *faults;
  plan.operations = *operations;
  twin.set_faults(plan);
  return true;
}

bool fail_next(Twin& twin, const Arguments& arguments) {
  const auto operation = operation_named(arguments.text("operation"));
  const auto fault = fault_named(arguments.text("fault"));
  if (!operation || !fault) return false;
  twin.fail_next(*operation, *fault, static_cast<int>(arguments.number("count", 1)),
                 static_cast<int>(arguments.number("skip")));
  return true;
}

bool set_denied(Twin& twin, const Arguments& arguments) {
  const std::string text = arguments.text("operations");
  const auto operations = text.empty() ? Operations() : parse_operations(text);
  if (operations) twin.set_denied(*operations);
  return operations.has_value();
}

bool set_dialect(Twin& twin, const Arguments& arguments) {
  const auto dialect = dialect_named(arguments.text("name"));
  if (dialect) twin.set_dialect(*dialect);
  return dialect.has_value();
}

}  // namespace

std::optional<std::vector<Fault>> parse_faults(std::string_view text) {
  if (text.empty() || text == "ordinary") return ordinary_faults();
  std::vector<Fault> faults;
  for (const std::string_view name : split(text, ',')) {
    const auto fault = fault_named(name);
    if (!fault) return std::nullopt;
    faults.push_back(*fault);
  }
  return faults;
}

std::optional<Operations> parse_operations(std::string_view text) {
  if (text.empty() || text == "all") return Operations::all();
  Operations operations;
  if (text == "writes") {
    for (std::size_t i = 0; i < kOperationCount; ++i) {
      if (writes(static_cast<Operation>(i))) operations.insert(static_cast<Operation>(i));
    }
    return operations;
  }
  for (const std::string_view name : split(text, ',')) {
    const auto operation = operation_named(name);
    if (!operation) return std::nullopt;
    operations.insert(*operation);
  }
  return operations;
}

Response answer_control(Twin& twin, const Request& request) {
  const std::size_t mark = request.target.find('?');
  const std::string what = request.method + " " + request.target.substr(0, mark);
  const Arguments arguments(mark == std::string::npos ? "" : std::string_view(request.target).substr(mark + 1));
  bool is_good = true;
  if (what == "GET /-twin/counts") return text_answer(200, text_of(twin.counts()));
  if (what == "GET /-twin/uploads") return text_answer(200, uploads_of(twin, arguments.text("bucket")));
  if (what == "POST /-twin/counts/reset") {
    twin.reset_counts();
  } else if (what == "POST /-twin/faults") {
    is_good = set_faults(twin, arguments);
  } else if (what == "POST /-twin/fail") {
    is_good = fail_next(twin, arguments);
  } else if (what == "POST /-twin/denied") {
    is_good = set_denied(twin, arguments);
  } else if (what == "POST /-twin/latency") {
    twin.set_latency_ms(static_cast<int>(arguments.number("ms")));
  } else if (what == "POST /-twin/clock") {
    twin.set_clock_offset_ms(arguments.number("ms"));
  } else if (what == "POST /-twin/dialect") {
    is_good = set_dialect(twin, arguments);
  } else if (what == "POST /-twin/expire") {
    twin.expire_uploads();
  } else {
    return text_answer(404, "There is no " + what + "\n");
  }
  return is_good ? text_answer(200, "") : text_answer(400, "A name in this request is not known.\n");
}

}  // namespace cairn::twin
