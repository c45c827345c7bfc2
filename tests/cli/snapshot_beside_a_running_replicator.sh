#!/usr/bin/env bash
# The one that replicates makes it; who asks gets the sequence. With another state directory nobody can be asked.
. "$(dirname "$0")/common.sh"

make_db app.db
start_replicate app.db --to backup
wait_until is_following backup
add_rows app.db 10
expect 0 snapshot app.db --to backup --json
python3 -c '
import json, sys
answer = json.load(open(sys.argv[1]))
assert answer["asked"] is True and answer["snapshot_sequence"] > 0 and answer["database"] == "app.db", answer' "$out"
[ "$(find backup -name '*.sqlite.zst' | wc -l)" = 2 ]
sequence=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["snapshot_sequence"])' "$out")
[ -n "$(find backup/snapshots -name "*-$(printf %020d "$sequence").sqlite.zst")" ]
restores_to_state_of backup app.db
[ -z "$(find state -path '*/requests/*')" ]

expect 4 "$CAIRN" snapshot app.db --to backup --state-dir "$dir/elsewhere"
says 'another --state-dir'
stop_replicate
expect 0 snapshot app.db --to backup
expect 0 "$CAIRN" verify backup
