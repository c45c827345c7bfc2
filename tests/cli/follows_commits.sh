#!/usr/bin/env bash
# Commits are published while the database is in use; SIGTERM publishes the rest.
. "$(dirname "$0")/common.sh"

make_db app.db
start_replicate app.db --to backup --interval 100ms
wait_until is_following backup
for ((n = 1; n <= 20; n++)); do add_rows app.db 5; done
has_segments() { [ -n "$(find backup/wal -name '*.wal.zst')" ]; }
wait_until has_segments
add_rows app.db 1
stop_replicate TERM
restores_to_state_of backup app.db
[ "$(count restored.db)" = 104 ]
