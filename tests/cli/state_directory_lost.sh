#!/usr/bin/env bash
# Costs a comparison, never data: an equal database goes on. Under a replicator it is an error that says what to do.
. "$(dirname "$0")/common.sh"

make_db app.db
once app.db --to backup
add_rows app.db 10
once app.db --to backup
rm -rf state
once app.db --to backup
add_rows app.db 10
once app.db --to backup
[ "$(newest_sequence backup)" = 2 ]
restores_to_state_of backup app.db

start_replicate app.db --to backup --timeout 1s
wait_until is_following backup
rm -rf state
add_rows app.db 10
wait_until grep -q 'the state directory was removed or renamed' "$log"
kill -TERM "$cairn_pid"
status=0
wait "$cairn_pid" || status=$?
[ "$status" = 1 ] || fail "the exit status is $status: what was committed last is not published"
# Nothing is left that shows whose history it is.
expect 4 replicate app.db --to backup --once
once app.db --to backup --adopt local
[ "$(newest_sequence backup)" = 3 ]
restores_to_state_of backup app.db
