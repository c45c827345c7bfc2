#!/usr/bin/env bash
# With --exec the database may not exist yet.
. "$(dirname "$0")/common.sh"

cat >program <<'SH'
sqlite3 app.db "PRAGMA journal_mode = wal; CREATE TABLE t (v); INSERT INTO t VALUES (1)" >/dev/null
sqlite3 app.db "INSERT INTO t VALUES (2)"
SH
expect 0 replicate app.db --to backup --exec 'sh program'
restores_to_state_of backup app.db
[ "$(count restored.db)" = 2 ]
