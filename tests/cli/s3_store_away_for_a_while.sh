#!/usr/bin/env bash
# What is committed while the store is away is kept, and published when it is back; the breaker is in the status.
. "$(dirname "$0")/common.sh"

start_twin --directory "$dir/bucket"
url=$(s3 app.db)
port=${endpoint##*:}
make_db app.db
start_replicate app.db --to "$url" --interval 10ms --json
wait_until grep -q 'snapshot published' "$log"
stop_twin
add_rows app.db 10
wait_until grep -q '"store_trouble":{' "$log"
wait_until grep -q '"breaker":"\(open\|half_open\)"' "$log"
add_rows app.db 10
start_twin --directory "$dir/bucket" --port "$port"
is_published() { "$CAIRN" restore "$url" -o now.db --overwrite >/dev/null 2>&1 && [ "$(count now.db)" = 23 ]; }
wait_until is_published
stop_replicate
restores_to_state_of "$url" app.db
tail -n 1 "$log" | grep -q 'without an answer'
no_secrets
