// The LayerManager, as tests open it.
#pragma once

#include <memory>

#include "cairn/layer.h"
#include "layer/hooks.h"

namespace cairn::layer {

// LayerManager::open, with points at which a test may end a sync.
Result<std::unique_ptr<LayerManager>> open_manager(Store& store, Machine& machine, LayerOptions options, Hook hook);

// Places that are not named are the usual ones, in the state directory.
LayerOptions with_places(LayerOptions options);

}  // namespace cairn::layer
