#!/usr/bin/env bash
# A sync that is killed again and again goes on where it was: what the store has acknowledged is not sent once more, although
# files have changed meanwhile.
. "$(dirname "$0")/layer_common.sh"

start_twin
store=$(s3 layers)
mkdir tree
for i in $(seq 16); do head -c 12000000 /dev/urandom >"tree/noise$i"; done
# Its process is the one that is killed, and not a shell around it.
sync_slowly() {
  exec "$CAIRN" layer sync tree --to "$store" --name web --state-dir "$dir/state" --part-size 5MiB --uploads 1 "$@"
}
spooled() { find "$dir/state" -name 'part-*' | wc -l; }
parts() { requests upload_part; }
for limit in 256MiB 0 256MiB; do
  before=$(parts)
  sync_slowly --spool-limit "$limit" >"$out" 2>"$err" &
  syncing=$!
  pids+=("$syncing")
  more_parts() { [ "$(parts)" -ge $((before + 4)) ] || ! kill -0 "$syncing" 2>/dev/null; }
  wait_until more_parts
  kill -9 "$syncing" 2>/dev/null || true
  wait "$syncing" 2>/dev/null || true
  # What has arrived stays up to the limit; else there is what was on its way, written, and about to go.
  if [ "$limit" = 0 ]; then [ "$(spooled)" -le 3 ]; else [ "$(spooled)" -ge 4 ]; fi || fail "$(spooled) parts lie there"
done
echo new >tree/new
expect 0 sync_to "$store" tree --part-size 5MiB --json
# 192 MB are 20 or 21 parts, of 9 MiB where parts are copied, too. Each kill costs the one that was on its way.
[ "$(parts)" -le 26 ] || fail "$(parts) parts were sent"
expect 0 sync_to "$store" tree
expect 0 restore_to "$store" restored
diff -r tree restored
[ "$(spooled)" = 0 ] || fail "$(spooled) parts are left behind"
expect 0 layer verify "$store"
