#include "twin/host.h"

#include <chrono>

namespace cairn::twin {

void Host::pause(std::int64_t duration_ms) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(duration_ms);
  const MutexLock lock(mutex_);
  while (!is_stopping_ && std::chrono::steady_clock::now() < deadline) wake_.wait_until(mutex_, deadline);
}

void Host::set_stopping(bool is_stopping) {
  {
    const MutexLock lock(mutex_);
    is_stopping_ = is_stopping;
  }
  wake_.notify_all();
}

bool Host::is_stopping() {
  const MutexLock lock(mutex_);
  return is_stopping_;
}

void Host::count_connection() {
  const MutexLock lock(mutex_);
  ++counts_.connections;
}

void Host::count_bytes(std::uint64_t in, std::uint64_t out) {
  const MutexLock lock(mutex_);
  counts_.bytes_in += in;
  counts_.bytes_out += out;
}

void Host::count(const Seen& seen) {
  {
    const MutexLock lock(mutex_);
    ++counts_.requests[seen.operation];
    if (!seen.code.empty()) ++counts_.errors[seen.code];
    if (seen.fault) ++counts_.faults[seen.operation][static_cast<std::size_t>(*seen.fault)];
  }
  if (on_request_) on_request_(seen);
}

Counts Host::counts() {
  const MutexLock lock(mutex_);
  return counts_;
}

void Host::reset_counts() {
  const MutexLock lock(mutex_);
  counts_ = {};
}

std::uint64_t Counts::all_requests() const {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < kOperationCount; ++i) sum += requests[static_cast<Operation>(i)];
  return sum;
}

std::uint64_t Counts::of(Fault fault) const {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < kOperationCount; ++i) sum += of(static_cast<Operation>(i), fault);
  return sum;
}

std::uint64_t Counts::all_faults() const {
  std::uint64_t sum = 0;
  for (const Fault fault : every_fault()) sum += of(fault);
  return sum;
}

std::uint64_t Counts::error(const std::string& code) const {
  const auto found = errors.find(code);
  return found == errors.end() ? 0 : found->second;
}

}  // namespace cairn::twin
