#include "twin/faults.h"

#include <array>

namespace cairn::twin {
namespace {

constexpr std::array<std::string_view, kFaultCount> kFaultNames{
    "error_before", "slow_down",       "slow_down_wait", "too_many",   "request_timeout",  "proxy_error",
    "empty_error",  "burst",           "clock_skew",     "conflict",   "expired_upload",   "reset_before",
    "reset_in_request", "error_after", "reset_after",    "lost_complete", "ok_then_error_after", "ok_then_error",
    "slow_complete", "reset_in_answer", "truncated",     "slow_body",  "stall",            "flipped",
    "flipped_document", "wrong_checksum", "silent_close", "some_stay", "one_key",         "stale_list",
};

bool is_listing(Operation operation) {
  return operation == Operation::list_objects || operation == Operation::list_parts ||
         operation == Operation::list_uploads;
}

bool can_befall(Fault fault, const FaultSubject& subject) {
  const Operation op = subject.operation;
  switch (fault) {
    case Fault::conflict:
      return subject.has_condition && (op == Operation::put_object || op == Operation::complete_upload);
    case Fault::expired_upload:
      return op == Operation::upload_part || op == Operation::copy_part || op == Operation::complete_upload ||
             op == Operation::list_parts;
    case Fault::reset_in_request: return subject.has_body;
    case Fault::lost_complete:
    case Fault::slow_complete: return op == Operation::complete_upload;
    case Fault::ok_then_error:
    case Fault::ok_then_error_after: return op == Operation::complete_upload || op == Operation::copy_part;
    case Fault::reset_in_answer:
    case Fault::truncated:
    case Fault::slow_body:
    case Fault::stall: return op == Operation::get_object || is_listing(op) || op == Operation::delete_objects;
    case Fault::flipped: return op == Operation::get_object;
    case Fault::flipped_document:
      return is_listing(op) || op == Operation::delete_objects || op == Operation::create_upload ||
             op == Operation::copy_part || op == Operation::complete_upload;
    case Fault::wrong_checksum: return op == Operation::put_object || op == Operation::upload_part;
    case Fault::some_stay: return op == Operation::delete_objects;
    case Fault::one_key: return is_listing(op);
    case Fault::stale_list: return op == Operation::list_objects;
    default: return true;
  }
}

bool may_have_body(Operation op) {
  return takes_bytes(op) || op == Operation::complete_upload || op == Operation::delete_objects ||
         op == Operation::create_bucket;
}

std::uint64_t mixed(std::uint64_t value) {  // splitmix64's last step
  value += 0x9E3779B97F4A7C15u;
  value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9u;
  value = (value ^ (value >> 27)) * 0x94D049BB133111EBu;
  return value ^ (value >> 31);
}

std::uint64_t hash_of(std::uint64_t seed, const FaultSubject& subject, std::uint64_t occurrence) {
  std::uint64_t hash = mixed(seed);
  for (const char c : subject.about) hash = mixed(hash ^ static_cast<unsigned char>(c));
  return mixed(mixed(hash ^ static_cast<std::uint64_t>(subject.operation)) ^ occurrence);
}

}  // namespace

std::string_view name_of(Fault fault) { return kFaultNames[static_cast<std::size_t>(fault)]; }

std::optional<Fault> fault_named(std::string_view name) {
  for (std::size_t i = 0; i < kFaultCount; ++i) {
    if (kFaultNames[i] == name) return static_cast<Fault>(i);
  }
  return std::nullopt;
}

std::vector<Fault> ordinary_faults() {
  std::vector<Fault> faults = every_fault();
  std::erase_if(faults, [](Fault fault) {
    return fault == Fault::stall || fault == Fault::stale_list || fault == Fault::clock_skew ||
           fault == Fault::flipped_document;
  });
  return faults;
}

std::vector<Fault> every_fault() {
  std::vector<Fault> faults;
  for (std::size_t i = 0; i < kFaultCount; ++i) faults.push_back(static_cast<Fault>(i));
  return faults;
}

Operations befallen_by(Fault fault) {
  Operations operations;
  for (std::size_t i = 0; i < kOperationCount; ++i) {
    const Operation op = static_cast<Operation>(i);
    if (can_befall(fault, {op, "", may_have_body(op), true})) operations.insert(op);
  }
  return operations;
}

void FaultDice::set_plan(const FaultPlan& plan) {
  const MutexLock lock(mutex_);
  plan_ = plan;
  seen_.clear();
  burst_left_ = 0;
}

void FaultDice::fail_next(Operation operation, Fault fault, int count, int skip) {
  const MutexLock lock(mutex_);
  orders_[operation].push_back({fault, skip, count});
}

std::optional<Fault> FaultDice::ordered(Operation operation) {
  std::deque<Ordered>& queue = orders_[operation];
  if (queue.empty()) return std::nullopt;
  Ordered& first = queue.front();
  if (first.skip > 0) {
    --first.skip;
    return std::nullopt;
  }
  const Fault fault = first.fault;
  if (--first.count == 0) queue.pop_front();
  return fault;
}

std::uint64_t FaultDice::rolls() {
  const MutexLock lock(mutex_);
  return rolls_;
}

std::optional<Fault> FaultDice::roll(const FaultSubject& subject) {
  const MutexLock lock(mutex_);
  ++rolls_;
  if (const auto fault = ordered(subject.operation)) {
    if (*fault == Fault::burst) burst_left_ = plan_.burst_length;
    return fault;
  }
  if (burst_left_ > 0) {
    --burst_left_;
    return Fault::slow_down;
  }
  if (plan_.per_mille == 0 || !plan_.operations.contains(subject.operation)) return std::nullopt;
  std::vector<Fault> possible;
  for (const Fault fault : plan_.faults) {
    if (can_befall(fault, subject)) possible.push_back(fault);
  }
  const std::uint64_t occurrence = seen_[{subject.operation, subject.about}]++;
  const std::uint64_t hash = hash_of(plan_.seed, subject, occurrence);
  if (possible.empty() || hash % 1000 >= static_cast<std::uint64_t>(plan_.per_mille)) return std::nullopt;
  const Fault fault = possible[(hash >> 32) % possible.size()];
  if (fault == Fault::burst) burst_left_ = plan_.burst_length;
  return fault;
}

}  // namespace cairn::twin
