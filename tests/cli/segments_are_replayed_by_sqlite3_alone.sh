#!/usr/bin/env bash
# zstd -d of a segment, as <db>-wal beside the state before it: sqlite3 makes the state after it.
. "$(dirname "$0")/common.sh"

make_db app.db
once app.db --to backup
state_of app.db state0.db
changes=("INSERT INTO t (v) SELECT hex(randomblob(500)) FROM t, t a, t b" "DELETE FROM t WHERE id % 2"
         "CREATE TABLE u (x); INSERT INTO u VALUES (zeroblob(100000))" "DROP TABLE u" "VACUUM" "PRAGMA user_version = 7")
n=0
for change in "${changes[@]}"; do
  sql app.db "$change"
  once app.db --to backup
  n=$((n + 1))
  state_of app.db state$n.db
done
[ "$(newest_sequence backup)" = $n ]
cp state0.db replayed.db
for ((i = 1; i <= n; i++)); do
  zstd -qdc "$(printf 'backup/wal/%020d.wal.zst' $i)" >replayed.db-wal
  [ "$(sql replayed.db 'PRAGMA wal_checkpoint(TRUNCATE)' | cut -d '|' -f 1)" = 0 ]
  cmp replayed.db state$i.db
done
