#!/usr/bin/env bash
# -wal and -shm of an older database beside the target do not survive a restore.
. "$(dirname "$0")/common.sh"

make_db app.db
once app.db --to backup
make_db other.db
sqlite3 other.db 'PRAGMA wal_autocheckpoint = 0; UPDATE t SET v = 99' '.shell cp other.db-wal target.db-wal; cp other.db-shm target.db-shm' >/dev/null
[ -s target.db-wal ]
expect 0 "$CAIRN" restore backup -o target.db
[ ! -e target.db-wal ] && [ ! -e target.db-shm ]
[ "$(sql target.db 'SELECT count(*) FROM t WHERE v = 99')" = 0 ]
