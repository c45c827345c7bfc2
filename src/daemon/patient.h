// Questions to a file system that may never answer, as that of a dead mount: each on a thread of its own, which is left
// alone when it gets nowhere for too long.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace cairn::daemon {

// How far a question has come: it counts what it does.
using Steps = std::atomic<std::uint64_t>;

// Whether `work` has come back. Not when it has counted nothing for `patience_ms`; then it goes on by itself, with
// copies of all that it needs, and as long as it does no other of this name is begun. Any thread.
bool run_patiently(const std::string& name, std::int64_t patience_ms, std::function<void(Steps&)> work);

// The same with an answer. Nothing: there is none.
template <class T>
std::optional<T> ask_patiently(const std::string& name, std::int64_t patience_ms, std::function<T(Steps&)> question) {
  const auto answer = std::make_shared<std::optional<T>>();
  const bool is_back = run_patiently(name, patience_ms, [answer, question = std::move(question)](Steps& steps) {
    *answer = question(steps);
  });
  return is_back ? std::move(*answer) : std::nullopt;
}

}  // namespace cairn::daemon
