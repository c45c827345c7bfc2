#!/usr/bin/env bash
# While it is followed: the new file is the next state.
. "$(dirname "$0")/common.sh"

make_db app.db
add_rows app.db 100
make_db new.db
sql new.db "INSERT INTO t (v) VALUES ('from the new file'); PRAGMA wal_checkpoint(TRUNCATE)" >/dev/null
start_replicate app.db --to backup --interval 20ms
wait_until is_following backup
mv new.db app.db
rm -f app.db-wal app.db-shm
published() { [ "$(newest_sequence backup)" -ge 1 ]; }
wait_until published
stop_replicate
restores_to_state_of backup app.db
[ "$(sql restored.db "SELECT count(*) FROM t WHERE v = 'from the new file'")" = 1 ]
