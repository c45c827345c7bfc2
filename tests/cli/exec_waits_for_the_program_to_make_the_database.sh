#!/usr/bin/env bash
# With --exec the database may not exist yet. (The program waits for a lock: it is not alone with it any more.)
. "$(dirname "$0")/common.sh"

cat >program <<'SH'
set -e
sql() { sqlite3 -cmd '.timeout 30000' app.db "$1"; }
sql "PRAGMA journal_mode = wal; CREATE TABLE t (v); INSERT INTO t VALUES (1)" >/dev/null
sql "INSERT INTO t VALUES (2)"
SH
expect 0 replicate app.db --to backup --exec 'sh program'
restores_to_state_of backup app.db
[ "$(count restored.db)" = 2 ]
