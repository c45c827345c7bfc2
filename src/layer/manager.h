// The LayerManager, as tests open it.
#pragma once

#include <memory>

#include "cairn/layer.h"
#include "layer/hooks.h"

namespace cairn::layer {

// LayerManager::open, with points at which a test may end a sync.
Result<std::unique_ptr<LayerManager>> open_manager(Store& store, Machine& machine, LayerOptions options, Hook hook);

}  // namespace cairn::layer
