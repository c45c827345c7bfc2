// A chain of layers as an OCI image layout: a directory that skopeo, umoci, podman and containerd take.
// https://github.com/opencontainers/image-spec (image-layout.md, manifest.md, config.md)
#pragma once

#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/executor.h"
#include "cairn/error.h"
#include "cairn/layer.h"
#include "cairn/store.h"
#include "layer/manifest.h"
#include "layer/object.h"

namespace cairn::layer {

// Writes the layout into `directory` (a descriptor), which is made here under `name`. One blob for each layer: the
// object as it is, or its tar as gzip, a member for each frame; every frame is checked. The image
// is tagged "latest"; its architecture is this machine's, since a directory says nothing of one.
Result<void> write_oci_layout(Store& store, const std::vector<SyncRecord>& chain,
                              const std::vector<const LayerReader*>& layers, int directory, const std::string& name,
                              LayerCompression compression, Executor& transfers, const std::stop_token& stop,
                              const std::function<void(std::uint64_t done_bytes)>& progress);

}  // namespace cairn::layer
