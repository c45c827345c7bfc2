#!/usr/bin/env bash
. "$(dirname "$0")/common.sh"

make_db app.db
once app.db --to backup
rm -rf state
sql app.db 'DELETE FROM t'
mkfifo commands
sqlite3 app.db <commands >/dev/null &
pids+=($!)
exec 9>commands
echo "BEGIN IMMEDIATE; INSERT INTO t (v) VALUES (7);
.shell touch begun" >&9
wait_until test -e begun
expect 4 replicate app.db --to backup --once --adopt remote
says 'in use'
echo 'COMMIT;' >&9
exec 9>&-
has_committed() { [ "$(count app.db)" = 1 ]; }
wait_until has_committed
[ "$(ls -d app.db.before-adopt-* 2>/dev/null | wc -l)" = 0 ]
