#!/usr/bin/env bash
# The replicator is killed again and again while the application writes and checkpoints; then nothing is missing.
. "$(dirname "$0")/common.sh"

make_db app.db
sqlite3 -batch -cmd '.timeout 30000' app.db >/dev/null 2>&1 < <(
  for ((i = 0; ; i++)); do
    echo "INSERT INTO t (v) VALUES (hex(randomblob(300)));"
    ((i % 50)) || echo 'PRAGMA wal_checkpoint(TRUNCATE);'
    sleep 0.002
    [ ! -e enough ] || break
  done) &
writer=$!
pids+=("$writer")
for ((round = 0; round < 6; round++)); do
  : >"$log"
  start_replicate app.db --to backup --interval 20ms
  wait_until grep -q 'following it' "$log"
  sleep 0.$((RANDOM % 4))$((RANDOM % 10))
  kill -9 "$cairn_pid"
  wait "$cairn_pid" 2>/dev/null || true
done
touch enough
wait "$writer"
once app.db --to backup
restores_to_state_of backup app.db
expect 0 "$CAIRN" verify backup --deep
