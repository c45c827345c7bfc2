#!/usr/bin/env bash
. "$(dirname "$0")/common.sh"

make_db app.db
once app.db --to backup
expect 0 "$CAIRN" restore backup -o target.db
mkfifo commands
sqlite3 target.db <commands >/dev/null &
pids+=($!)
exec 9>commands
echo "BEGIN; SELECT count(*) FROM t; INSERT INTO t (v) VALUES (7);
.shell touch begun" >&9
wait_until test -e begun
expect 4 "$CAIRN" restore backup -o target.db --overwrite
says 'in use'
exec 9>&-
