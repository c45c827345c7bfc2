// Independent pieces of work, on an executor's threads and the caller's own.
#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>

#include "base/executor.h"
#include "cairn/error.h"

namespace cairn {

// Runs work(0) .. work(count - 1), each once, in no order, at most executor.width() + 1 at a time. The caller works
// too, so it makes progress even when every thread of the executor is taken, or is the caller itself. After the first
// error nothing more is begun; of several errors the one with the lowest index is returned. cancelled: `stop` was
// asked before all was begun.
Result<void> parallel_for(Executor& executor, std::uint64_t count,
                          const std::function<Result<void>(std::uint64_t)>& work, std::stop_token stop = {});

}  // namespace cairn
