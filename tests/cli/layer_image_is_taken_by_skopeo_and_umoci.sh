#!/usr/bin/env bash
# --as oci-layout: an image of a layer a sync, which skopeo copies and umoci unpacks.
. "$(dirname "$0")/layer_common.sh"
needs_root
needs skopeo umoci

mkdir -p tree/etc tree/old
echo one >tree/etc/one
echo gone >tree/old/gone
expect 0 sync_to store tree
rm -r tree/old
echo two >tree/etc/two
expect 0 sync_to store tree
expect 0 restore_to store image --as oci-layout
tag=$(python3 -c '
import json
index = json.load(open("image/index.json"))
print(index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"])')
skopeo --insecure-policy inspect "oci:image:$tag" >"$out" 2>"$err"
[ "$(json_of 'len(j["Layers"])')" = 2 ]
skopeo --insecure-policy copy -q "oci:image:$tag" dir:plain
expect 0 umoci unpack --image "image:$tag" bundle
diff -r tree bundle/rootfs
# As they lie in the store: skopeo knows that, umoci 0.4 does not.
expect 0 restore_to store zstd --as oci-layout --compression zstd
skopeo --insecure-policy copy -q "oci:zstd:$tag" dir:plain-zstd
expect 2 restore_to store upper --compression zstd
