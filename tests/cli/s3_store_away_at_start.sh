#!/usr/bin/env bash
# A store that is away when replication begins keeps nobody waiting, and what was committed meanwhile is published.
. "$(dirname "$0")/common.sh"

start_twin --directory "$dir/bucket"
make_db app.db
once app.db --to "$(s3 app.db)"
url=$(s3 app.db)
port=${endpoint##*:}
stop_twin
expect 6 replicate app.db --to "$url" --timeout 100ms --exec "sqlite3 app.db 'INSERT INTO t (v) VALUES (4)'"
says 'started all the same'
[ "$(count app.db)" = 4 ]

start_replicate app.db --to "$url"
wait_until grep -q '127.0.0.1' "$log"
add_rows app.db 10
start_twin --directory "$dir/bucket" --port "$port"
is_published() { "$CAIRN" restore "$url" -o now.db --overwrite >/dev/null 2>&1 && [ "$(count now.db)" = 14 ]; }
wait_until is_published
grep -q 'the store is well again' "$log" || grep -q 'attached to' "$log"
stop_replicate
restores_to_state_of "$url" app.db
no_secrets
