#!/usr/bin/env bash
# Changes are synced while it runs, a store that is away is waited for, and a signal syncs once more.
. "$(dirname "$0")/layer_common.sh"

start_twin --directory "$dir/bucket"
store=$(s3 layers)
port=${endpoint##*:}
mkdir -p tree/sub
echo 1 >tree/sub/file
start_watch() {
  "$CAIRN" layer watch tree --to "$store" --name web --state-dir "$dir/state" "$@" >>"$log" 2>&1 &
  watcher=$!
  pids+=("$watcher")
}
stop_watch() {
  local status=0
  kill -TERM "$watcher"
  wait "$watcher" || status=$?
  [ $status = 0 ] || fail "it ended with status $status"
}
is_stored() {  # as it is now
  rm -rf restored
  restore_to "$store" restored >"$out" 2>"$err" && diff -r tree restored >/dev/null
}
start_watch --interval 1h --quiet 50ms
wait_until is_stored
# The sync before had a reason, so the interval keeps the next one away: the signal brings it about.
echo 2 >tree/sub/file
mkdir tree/new && echo 3 >tree/new/file
stop_watch
is_stored
grep -q 'everything is published' "$log"

: >"$log"
start_watch --interval 200ms --quiet 10ms
echo 4 >tree/new/file
wait_until is_stored
stop_twin
echo 5 >tree/new/file
wait_until grep -q 'not synced, and tried again' "$log"
start_twin --directory "$dir/bucket" --port "$port"
wait_until is_stored
wait_until grep -q 'it works again' "$log"
[ "$(grep -c 'not synced' "$log")" = 1 ]

# Somebody else takes over: trying again would not help.
echo other >other
mkdir other-tree && echo x >other-tree/x
expect 0 layer sync other-tree --to "$store" --name web --state-dir elsewhere --adopt local
echo 6 >tree/new/file
status=0
wait "$watcher" || status=$?
[ $status = 4 ] || fail "it ended with status $status"
no_secrets
