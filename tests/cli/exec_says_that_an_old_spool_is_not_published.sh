#!/usr/bin/env bash
# Segments that wait from an earlier run are part of "everything" also when the program never makes its database.
. "$(dirname "$0")/common.sh"

start_twin --directory "$dir/bucket"
export AWS_MAX_ATTEMPTS=2  # a store that is away is to be found away soon
make_db app.db
url=$(s3 app.db)
once app.db --to "$url"
port=${endpoint##*:}
stop_twin
expect 6 replicate app.db --to "$url" --timeout 300ms --exec "sqlite3 app.db \"INSERT INTO t (v) VALUES ('late')\"; sleep 3"
waiting() { find state -name '*.wal.zst' | wc -l; }
[ "$(waiting)" -gt 0 ] || fail 'nothing waits in the spool'
state_of app.db before.db
mkdir away
mv app.db* away
expect 6 replicate app.db --to "$url" --timeout 300ms --exec true
says 'captured segments'
[ "$(waiting)" -gt 0 ]

# With the store back they are published, although there is no database to follow and the program is not started.
start_twin --directory "$dir/bucket" --port "$port"
expect 4 replicate app.db --to "$url" --timeout 60s --exec 'touch was-started'
[ ! -e was-started ]
[ "$(waiting)" = 0 ]
expect 0 "$CAIRN" restore "$url" -o restored.db
cmp restored.db before.db
no_secrets
