#!/usr/bin/env bash
# What no container needs goes, old chains with --keep; every state that is left can be restored.
. "$(dirname "$0")/layer_common.sh"

mkdir tree
head -c 200000 /dev/urandom >tree/a
expect 0 sync_to store tree
cp -a tree newest
orphan=store/$(printf 'a%.0s' {1..64}).tar.zst
echo rubbish >"$orphan"
mkdir -p store/tmp store/app.db/wal
echo half >store/tmp/half.tar.zst
echo other >store/app.db/wal/00000000000000000001.wal.zst
expect 0 layer prune store --json
[ "$(json_of 'j["removed"]')" = '[]' ]
expect 0 layer prune store --grace 0 --dry-run
[ -e "$orphan" ]
expect 0 layer prune store --grace 0
[ ! -e "$orphan" ] && [ ! -e store/tmp/half.tar.zst ] && [ -e store/app.db/wal/00000000000000000001.wal.zst ]

# Rewritten as a whole each time: increments outweigh the full layer, and a new chain begins.
for i in 1 2 3 4; do
  head -c 200000 /dev/urandom >tree/a
  expect 0 sync_to store tree
done
expect 0 layer history store --name web --json
[ "$(json_of 'sum(s["full"] for s in j["syncs"]) > 1')" = True ] || fail 'no second chain has begun'
expect 0 layer prune store --grace 0 --keep 0 --json
[ "$(json_of 'j["dropped_syncs"] > 0 and len(j["removed"]) > 0')" = True ]
expect 0 layer verify store
expect 0 restore_to store restored
diff -r tree restored
expect 3 restore_to store old --sequence 1
expect 2 layer prune store --keep sometimes
expect 3 layer prune "$dir/nowhere"
echo on >tree/on
expect 0 sync_to store tree
expect 0 layer verify store
