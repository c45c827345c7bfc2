#!/usr/bin/env bash
# A database that is written to and checkpointed all the while; its replicator is killed again and again.
. "$(dirname "$0")/common.sh"

start_cluster
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
for ((round = 0; round < 4; round++)); do
  : >"$log"
  start_replicate app.db --to "$(s3 app)" --interval 20ms
  wait_until grep -q 'following it' "$log"
  sleep 0.$((3 + RANDOM % 6))$((RANDOM % 10))
  kill_replicate
done
touch enough
wait "$writer"
once app.db --to "$(s3 app)"
restores_to_state_of "$(s3 app)" app.db
expect 0 "$CAIRN" verify "$(s3 app)" --deep

# On another machine, with nothing but the keys.
rm -rf state
expect 0 "$CAIRN" restore "$(s3 app)" -o elsewhere.db
cmp elsewhere.db restored.db
