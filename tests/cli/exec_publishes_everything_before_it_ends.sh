#!/usr/bin/env bash
# --exec replicates while the program lives; its exit status is Cairn's.
. "$(dirname "$0")/common.sh"

make_db app.db
status=0
replicate app.db --to backup --exec "sqlite3 app.db 'INSERT INTO t (v) VALUES (9)'; exit 7" >"$out" 2>"$err" || status=$?
[ $status = 7 ]
restores_to_state_of backup app.db
[ "$(count restored.db)" = 4 ]
expect 0 replicate app.db --to backup -- sqlite3 app.db 'INSERT INTO t (v) VALUES (10)'
restores_to_state_of backup app.db
[ "$(count restored.db)" = 5 ]
