#!/usr/bin/env bash
# A container's directory on a real object store: a sync that is killed in the middle of its upload is gone on with,
# blocks of a big file are copied by the store, every sync comes back, and a prune leaves nothing over.
. "$(dirname "$0")/../cli/layer_common.sh"

start_cluster
start_gate_before 2
mkdir -p tree/etc
head -c 30000000 /dev/urandom >tree/big
echo 1 >tree/etc/conf
for i in $(seq 200); do echo "file $i" >"tree/etc/file$i"; done
ln tree/etc/conf tree/etc/same
ln -s nowhere tree/dangling
acknowledged() {
  find state -name state.db -exec sqlite3 -readonly {} "SELECT number FROM layer_part WHERE etag <> ''" \; | sort
}
gated=(layer sync tree --to "$(s3 layers 1)" --name web --state-dir "$dir/state" --part-size 5MiB --uploads 2)
sync_gated() { "$CAIRN" "${gated[@]}" "$@"; }
exec_sync_gated() { exec "$CAIRN" "${gated[@]}"; }  # so that its process is the one that is killed
exec_sync_gated >"$log" 2>&1 &
syncing=$!
pids+=("$syncing")
wait_until have_acknowledged 2
kill -9 "$syncing"
wait "$syncing" 2>/dev/null || true
acknowledged >before
[ "$(wc -l <before)" = 2 ]

# What was acknowledged is not sent again.
: >gate.passed
open_gate
expect 0 sync_gated
[ -s gate.passed ] || fail 'nothing was left to send'
[ -z "$(sort gate.passed | comm -12 - before)" ] || fail "sent again: $(sort gate.passed | comm -12 - before | xargs)"
store=$(s3 layers)
expect 0 restore_to "$store" restored
same_tree tree restored
cp -a tree first

# One page of the big file: the store copies the rest where it can.
printf changed | dd of=tree/big bs=1 seek=15000000 conv=notrunc status=none
echo 2 >tree/etc/conf
rm tree/etc/file7
expect 0 sync_gated --json
[ "$(json_of 'j["sent_bytes"] <= 16 * 2**20 and not j["sync"]["full"]')" = True ] || fail "$(cat "$out")"
expect 0 sync_gated
grep -q 'nothing has changed' "$out" || fail 'something had changed'
expect 0 layer verify "$store"
expect 0 restore_to "$store" again
same_tree tree again
expect 0 restore_to "$store" of-the-first --sequence 1
same_tree first of-the-first

# Killed once more: a prune that is told to wait for nobody takes what was sent, and the next sync sends it again.
head -c 20000000 /dev/urandom >tree/more
rm gate.open  # every part is held again
upload_is_begun() {
  find state -name state.db -exec sqlite3 -readonly {} "SELECT upload_id FROM layer_pending" \; | grep -q .
}
exec_sync_gated >"$log" 2>&1 &
syncing=$!
pids+=("$syncing")
wait_until upload_is_begun
kill -9 "$syncing"
wait "$syncing" 2>/dev/null || true
prune_aborts() {  # the store tells times by the second: what is as young as that is left alone
  expect 0 layer prune "$store" --grace 0 --json
  [ "$(json_of 'j["aborted_uploads"]')" -ge 1 ]
}
wait_until prune_aborts
expect 0 layer prune "$store" --grace 0 --dry-run --json
[ "$(json_of 'j["removed"] == [] and j["aborted_uploads"] == 0')" = True ] || fail "$(cat "$out")"
open_gate
expect 0 sync_gated
expect 0 restore_to "$store" last
same_tree tree last
expect 0 layer prune "$store" --grace 0 --json
[ "$(json_of 'j["removed"] == [] and j["aborted_uploads"] == 0')" = True ] || fail "$(cat "$out")"
expect 0 restore_to "$store" of-the-first --sequence 1 --overwrite
same_tree first of-the-first
