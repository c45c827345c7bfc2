#!/usr/bin/env bash
# A database that sleeps is woken by a sync that waits, and what was committed is in the store when that returns.
. "$(dirname "$0")/common.sh"

make_db app.db
cat >cairn.toml <<EOF
[defaults]
to = "$dir/backup"
state_dir = "$dir/state"
interval = "1h"
sleep_after = "1ms"
[[database]]
path = "$dir/app.db"
EOF
sleeps() {
  "$CAIRN" status --json >"$out" 2>"$err" && python3 -c '
import json, sys
sys.exit(not json.load(open(sys.argv[1]))["databases"][0]["asleep"])' "$out"
}
start_configured
wait_until sleeps

# Nothing was written: it is durable as it is, and sleeps on.
expect 0 "$CAIRN" sync app.db --wait
grep -q 'durable, up to sequence 0' "$out"
sleeps

add_rows app.db 7
expect 0 "$CAIRN" sync app.db --wait
grep -q 'durable, up to sequence 1' "$out"
restores_to_state_of backup/app.db app.db
stop_replicate
