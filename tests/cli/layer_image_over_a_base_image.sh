#!/usr/bin/env bash
# --as oci-layout: the layers laid over a base image and unpacked by umoci are what the container saw, whatever form its
# whiteouts and opaque marks had in the upper directory.
. "$(dirname "$0")/layer_common.sh"
needs_root
needs umoci getfattr
mkdir -p base/d base/gone base/w/sub base/plain
for name in d/below gone/x w/attribute w/device w/file w/sub/y plain/kept; do echo "of the image: $name" >"base/$name"; done
chown 5:6 base/plain/kept
setfattr -n user.below -v 1 base/plain/kept
find base -exec touch -d '2020-01-01' {} +  # umoci makes whole seconds of what it inserts

over_base() {  # over_base <upper> <option of sync>...: Cairn's layers behind those of an image of base
  rm -rf store state image over bundle flat
  expect 0 sync_to store "$@"
  expect 0 restore_to store image --as oci-layout
  expect 0 restore_to store flat --as merged --lower base
  umoci init --layout over
  umoci new --image over:latest
  umoci insert --image over:latest base / >"$out" 2>"$err"
  cp -n image/blobs/sha256/* over/blobs/sha256/
  python3 - <<'P'
import hashlib, json
def read(layout, one): return json.load(open(f"{layout}/blobs/sha256/{one['digest'][7:]}"))
def put(one, value):
    data = json.dumps(value).encode()
    one["digest"], one["size"] = "sha256:" + hashlib.sha256(data).hexdigest(), len(data)
    open("over/blobs/sha256/" + one["digest"][7:], "wb").write(data)
index, ours = json.load(open("over/index.json")), json.load(open("image/index.json"))
base, more = read("over", index["manifests"][0]), read("image", ours["manifests"][0])
config, theirs = read("over", base["config"]), read("image", more["config"])
base["layers"] += more["layers"]
config["rootfs"]["diff_ids"] += theirs["rootfs"]["diff_ids"]
config["history"] = config.get("history", []) + theirs["history"]
put(base["config"], config)
put(index["manifests"][0], base)
json.dump(index, open("over/index.json", "w"))
P
  expect 0 umoci unpack --image over:latest bundle
  same_tree flat bundle/rootfs
}
are_gone() { for name; do [ ! -e "bundle/rootfs/$name" ] || fail "$name is still there"; done; }
make_upper() {
  rm -rf upper
  mkdir -p upper/d upper/w upper/new
  echo new >upper/d/new
  echo 1 >upper/new/f
  chown 7:8 upper/new/f
  chmod 4711 upper/new/f
  setfattr -n user.mine -v words upper/new/f
  touch -d '2001-02-03 04:05:06' upper/new/f upper/new upper/d upper/w upper
}
for space in trusted user; do
  make_upper
  setfattr -n $space.overlay.opaque -v y upper/d
  setfattr -n $space.overlay.opaque -v x upper/w
  : >upper/w/attribute
  setfattr -n $space.overlay.whiteout upper/w/attribute
  mknod upper/w/device c 0 0
  mknod upper/gone c 0 0
  over_base upper
  are_gone d/below w/attribute w/device gone
done
make_upper
: >upper/d/.wh..wh..opq
: >upper/w/.wh.file
: >upper/.wh.gone
setfattr -n user.containers.override_stat -v 9:10:644 upper/d/new
over_base upper --marks fuse-overlayfs
are_gone d/below w/file gone
[ "$(stat -c %u:%g bundle/rootfs/d/new)" = 9:10 ]
