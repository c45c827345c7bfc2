#!/usr/bin/env bash
# What an earlier run has captured is published by --once although the database is gone by then; that is said, too.
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
expect 6 replicate app.db --to "$url" --timeout 300ms --once
says 'captured segments'
[ "$(waiting)" -gt 0 ]

start_twin --directory "$dir/bucket" --port "$port"
expect 3 replicate app.db --to "$url" --timeout 60s --once
says 'app.db does not exist; what an earlier run had captured of it is published now'
[ "$(waiting)" = 0 ]
expect 0 "$CAIRN" restore "$url" -o restored.db
cmp restored.db before.db

# Nothing waits any more, or nothing was ever known of it: then it is only said that it is missing, and nothing is made.
expect 3 replicate app.db --to "$url" --once
says 'app.db does not exist'
find state | sort > state.before
expect 3 replicate other.db --to "$(s3 other.db)" --once
says 'other.db does not exist'
find state | sort | cmp - state.before
no_secrets
