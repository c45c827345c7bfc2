#!/usr/bin/env bash
# Also when the WAL was checkpointed and deleted meanwhile.
. "$(dirname "$0")/common.sh"

make_db app.db
add_rows app.db 5000
once app.db --to backup
sql app.db "UPDATE t SET v = 'changed' WHERE id = 17; PRAGMA wal_checkpoint(TRUNCATE)" >/dev/null
[ ! -s app.db-wal ]
once app.db --to backup
restores_to_state_of backup app.db
[ "$(newest_sequence backup)" = 1 ]
[ "$(find backup -name '*.sqlite.zst' | wc -l)" = 1 ]
snapshot=$(stat -c %s "$(first_object backup '*.sqlite.zst')") segment=$(stat -c %s "$(first_object backup '*.wal.zst')")
[ $((segment * 10)) -lt "$snapshot" ] || fail "the difference takes $segment bytes, the snapshot $snapshot"
