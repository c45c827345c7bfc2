#!/usr/bin/env bash
# It slept, as a machine does, while a copy of its database took the history over: its next publish is refused, and the
# history stays the other's.
. "$(dirname "$0")/common.sh"

make_db app.db
start_replicate app.db --to backup --interval 20ms
wait_until is_following backup
kill -STOP "$cairn_pid"
state_of app.db copy.db
sql copy.db "PRAGMA journal_mode = wal; INSERT INTO t (v) VALUES ('of the copy')" >/dev/null
expect 0 "$CAIRN" replicate copy.db --to backup --once --state-dir state-of-copy --adopt local

sql app.db "INSERT INTO t (v) VALUES ('of the sleeper')"
kill -CONT "$cairn_pid"
status=0
wait "$cairn_pid" || status=$?
[ $status = 4 ] || fail "cairn replicate ended with status $status instead of 4"
expect 4 replicate app.db --to backup --once  # nor by being started again
restores_to_state_of backup copy.db
expect 0 "$CAIRN" verify backup --deep
add_rows copy.db 5
expect 0 "$CAIRN" replicate copy.db --to backup --once --state-dir state-of-copy  # the other goes on
restores_to_state_of backup copy.db
