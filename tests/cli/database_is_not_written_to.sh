#!/usr/bin/env bash
# Schema, user_version, application_id and every byte of the committed state are what the application made them.
. "$(dirname "$0")/common.sh"

make_db app.db
sql app.db 'PRAGMA user_version = 42; PRAGMA wal_checkpoint(TRUNCATE)' >/dev/null
cp app.db before.db
once app.db --to backup
snapshot app.db --to backup >/dev/null 2>&1
state_of app.db after.db
cmp before.db after.db

# Beside a writer, with rollovers: the same as a database that got the same statements without Cairn.
statements() {  # statements <round>: some thousand frames of a WAL, in many commits
  local i
  [ "$1" != 1 ] || echo 'PRAGMA page_size = 1024; PRAGMA journal_mode = wal; PRAGMA user_version = 42;
    PRAGMA application_id = 4711; CREATE TABLE t (id INTEGER PRIMARY KEY, round, v); CREATE INDEX of_v ON t (v);
    CREATE VIEW newest AS SELECT max(id) FROM t;'
  for ((i = 0; i < 250; i++)); do
    echo "INSERT INTO t (round, v) VALUES ($1, printf('%0500d', $1 * 1000000 + $i * 7919 % 400));
          UPDATE t SET v = printf('%0700d', id) WHERE id = $i * 31 % 300 + 1;"
  done
  echo "DELETE FROM t WHERE id % 5 = $1 % 5; ALTER TABLE t ADD COLUMN c$1 DEFAULT 'x'; PRAGMA user_version = $((42 + $1));"
}
for name in busy alone; do
  mkfifo commands.$name
  sql -cmd '.output /dev/null' -cmd 'PRAGMA wal_autocheckpoint = 0' $name.db <commands.$name &
  pids+=($!)
done
exec 8>commands.busy 9>commands.alone
rollovers() { grep -os '"rollovers":[0-9]*' "$log" | tail -n 1 | tr -dc 0-9; }
both() { echo "$1" >&8; echo "$1" >&9; }
rolled_over() {  # now, or after the next commit
  [ "$(rollovers)" -ge "$1" ] || { both 'UPDATE t SET round = round + 1 WHERE id = (SELECT max(id) FROM t);'; return 1; }
}
for ((round = 1; round <= 4; round++)); do
  statements $round >statements.$round
  both ".read statements.$round"
  [ $round != 1 ] || { wait_until test -s busy.db-wal; start_replicate busy.db --to busy --json --interval 10ms; }
  wait_until rolled_over $round
done
for fd in 8 9; do echo ".shell touch end.$fd" >&$fd; wait_until test -e end.$fd; done
stop_replicate
for name in busy alone; do
  state_of $name.db $name.state
  for asked in 'PRAGMA user_version' 'PRAGMA application_id' 'PRAGMA schema_version' 'PRAGMA integrity_check' \
    'SELECT * FROM sqlite_schema' .dump; do
    sql $name.state "$asked" >>$name.told
  done
done
grep -q '^46$' alone.told
diff alone.told busy.told
cmp alone.state busy.state
exec 8>&- 9>&-
restores_to_state_of busy busy.db
