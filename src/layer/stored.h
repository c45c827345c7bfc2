// What lies in a store, told apart by its key. A store may hold other things too (replicas of databases): they are
// passed over, and never touched.
#pragma once

#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cairn/error.h"
#include "cairn/layer.h"
#include "cairn/store.h"
#include "layer/history.h"
#include "layer/manifest.h"

namespace cairn::layer {

// The digest of a layer's or a meta's key; "": it is neither.
std::string_view digest_of_key(std::string_view key);

// Everything whose key begins with `prefix`, page by page.
Result<std::vector<ObjectInfo>> list_all(Store& store, std::string_view prefix);

// The objects of layers, by digest: those at the top of the store, folders passed over with one request each.
Result<std::map<std::string, std::vector<ObjectInfo>>> list_layer_objects(Store& store);

// The histories of containers. One that vanishes meanwhile is left out; one that cannot be read is an error.
Result<std::vector<StoredHistory>> read_histories(Store& store, std::span<const std::string> names);
// Those of all containers, ascending by key.
Result<std::vector<StoredHistory>> read_all_histories(Store& store);

LayerSnapshot snapshot_of(const SyncRecord& record);

}  // namespace cairn::layer
