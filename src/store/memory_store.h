// A store in memory: what the simplest correct store looks like, and the judge of the others. It behaves the same
// each time: etags and upload ids are counted, and so is the time, unless a clock is given.
#pragma once

#include <memory>

#include "base/clock.h"
#include "cairn/store.h"

namespace cairn {

// `clock` gives the time of objects and uploads; it must outlive the store.
std::unique_ptr<Store> make_memory_store(Clock& clock);

}  // namespace cairn
