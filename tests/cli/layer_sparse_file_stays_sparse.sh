#!/usr/bin/env bash
# Holes are holes again, and cost next to nothing in the store.
. "$(dirname "$0")/layer_common.sh"

mkdir tree
truncate -s 300M tree/sparse
for at in 1 150 299; do printf "at $at" | dd of=tree/sparse bs=1M seek=$at conv=notrunc status=none; done
[ "$(stat -c %b tree/sparse)" -lt 1000 ] || skip 'this file system has no holes'
expect 0 sync_to store tree --json
[ "$(json_of 'j["sync"]["compressed_size_bytes"] < 1000000')" = True ]
expect 0 restore_to store restored
cmp tree/sparse restored/sparse
[ "$(stat -c %b restored/sparse)" -lt 1000 ] || fail "restored/sparse takes $(stat -c %b restored/sparse) blocks"
