#!/usr/bin/env bash
. "$(dirname "$0")/common.sh"

make_db app.db
once app.db --to backup
state_of app.db published.db
rm -rf state
sqlite3 app.db 'PRAGMA wal_autocheckpoint = 0; DELETE FROM t' >/dev/null
expect 0 replicate app.db --to backup --once --adopt remote
state_of app.db now.db
cmp now.db published.db
kept=$(ls app.db.before-adopt-* | grep -v -e '-wal$' -e '-shm$')
[ "$(count "$kept")" = 0 ]
add_rows app.db 3
once app.db --to backup
restores_to_state_of backup app.db
