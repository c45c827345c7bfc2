#!/usr/bin/env bash
# Also when the interval is not over yet.
. "$(dirname "$0")/common.sh"

make_db app.db
start_replicate app.db --to backup --interval 1h
wait_until is_following backup
for ((n = 1; n <= 5; n++)); do add_rows app.db 3; done
stop_replicate INT
restores_to_state_of backup app.db
