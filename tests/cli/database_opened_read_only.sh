#!/usr/bin/env bash
# Without the right to write to the database, it is replicated as far as its WAL allows.
. "$(dirname "$0")/common.sh"

[ "$(id -u)" = 0 ] || skip 'only root can become somebody else'
command -v setpriv >/dev/null || skip 'setpriv is not installed'
make_db app.db
chmod 755 "$dir"
cp "$CAIRN" cairn-command && chmod 755 cairn-command
setpriv --reuid=65534 --regid=65534 --clear-groups ./cairn-command version >/dev/null 2>&1 ||
  skip 'the command cannot be run as nobody here'
mkdir -m 777 store state-of-nobody
mkfifo commands
sqlite3 app.db <commands >/dev/null &
pids+=($!)
exec 9>commands
echo "SELECT count(*) FROM t; INSERT INTO t (v) VALUES ('four');
.shell touch begun" >&9
wait_until test -e begun
chmod 644 app.db app.db-wal app.db-shm
expect 0 setpriv --reuid=65534 --regid=65534 --clear-groups ./cairn-command replicate app.db --to store/backup \
  --state-dir state-of-nobody --once
expect 0 "$CAIRN" restore store/backup -o restored.db
[ "$(count restored.db)" = 4 ]
exec 9>&-
