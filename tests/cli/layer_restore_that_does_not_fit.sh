#!/usr/bin/env bash
# A restore that the disk has no room for is refused in one sentence, before anything is touched. Holes need no room.
. "$(dirname "$0")/layer_common.sh"
needs_root
mkdir tree small
tidy_more() { umount "$dir/small" 2>/dev/null || true; }
mount -t tmpfs -o size=2m tmpfs small 2>"$err" || skip "a tmpfs is not to be had here: $(cat "$err")"

head -c 3000000 /dev/urandom >tree/big
expect 0 sync_to store tree
expect 1 restore_to store small/below/restored
says 'Nothing was touched'
[ -z "$(ls -A small)" ] || fail 'something was left there'
mkdir small/there
echo old >small/there/file
expect 1 restore_to store small/there --overwrite
[ "$(cat small/there/file)" = old ]
expect 1 restore_to store small/image --as oci-layout

rm tree/big
truncate -s 1G tree/holes
printf data | dd of=tree/holes bs=1M seek=700 conv=notrunc status=none
expect 0 sync_to store tree
expect 0 restore_to store small/restored
cmp tree/holes small/restored/holes
