#!/usr/bin/env bash
# One line a change, each an object of its own.
. "$(dirname "$0")/common.sh"

make_db app.db
"$CAIRN" replicate --state-dir state app.db --to backup --interval 50ms --json >lines 2>"$log" &
cairn_pid=$!
pids+=("$cairn_pid")
wait_until is_following backup
add_rows app.db 5
wait_until grep -q '"published_sequence":1' lines
stop_replicate
python3 -c '
import json
lines = [json.loads(line) for line in open("lines")]
assert lines[-1]["published_sequence"] == 1 and lines[-1]["settled"], lines[-1]'
