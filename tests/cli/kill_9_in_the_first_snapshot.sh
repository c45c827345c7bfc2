#!/usr/bin/env bash
. "$(dirname "$0")/common.sh"

make_db app.db
add_rows app.db 30000
for ((round = 0; round < 4; round++)); do
  start_replicate app.db --to backup
  sleep 0.0$((RANDOM % 10))
  kill -9 "$cairn_pid" 2>/dev/null || true
  wait "$cairn_pid" 2>/dev/null || true
done
once app.db --to backup
restores_to_state_of backup app.db
expect 0 "$CAIRN" verify backup
