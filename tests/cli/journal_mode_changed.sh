#!/usr/bin/env bash
# Away from WAL: SQLite refuses that while Cairn follows; while it is down, with another page size too, the difference
# is published and the mode is WAL again.
. "$(dirname "$0")/common.sh"

make_db app.db
start_replicate app.db --to backup --interval 20ms
wait_until is_following backup
[ "$(sqlite3 app.db 'PRAGMA journal_mode = delete' 2>/dev/null || true)" != delete ]
add_rows app.db 10
stop_replicate
restores_to_state_of backup app.db

[ "$(sql app.db 'PRAGMA journal_mode = delete')" = delete ]
sql app.db 'PRAGMA page_size = 16384; VACUUM'
add_rows app.db 10
once app.db --to backup
[ "$(sql app.db 'PRAGMA journal_mode; PRAGMA page_size')" = $'wal\n16384' ]
restores_to_state_of backup app.db
expect 0 "$CAIRN" restore backup --sequence 1 -o first.db  # the states before are still there
[ "$(sql first.db 'PRAGMA page_size; SELECT count(*) FROM t')" = $'4096\n13' ]
expect 0 "$CAIRN" verify backup --deep
