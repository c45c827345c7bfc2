#!/usr/bin/env bash
# A store that takes requests and answers none does not keep a stop for longer than it may, be it a database's or a
# layer's: what is not published is kept.
. "$(dirname "$0")/common.sh"

start_twin
make_db app.db
printf '[defaults]\nstop_timeout = "300ms"\nstate_dir = "%s/state"\ninterval = "10ms"\n[[database]]\npath = "%s/app.db"\nto = "%s"\n' \
  "$dir" "$dir" "$(s3 app.db)" >cairn.toml
start_configured
wait_until "$CAIRN" sync app.db --wait
kill -STOP "$twin_pid"
add_rows app.db 10
captured() { "$CAIRN" status --json | python3 -c '
import json, sys
d = json.load(sys.stdin)["databases"][0]
sys.exit(d["captured_sequence"] == d["published_sequence"])'; }
wait_until captured
status=0
"$CAIRN" stop --wait >"$out" 2>"$err" || status=$?
[ $status = 6 ]
status=0
wait "$cairn_pid" || status=$?
[ $status = 6 ]
grep -q 'is not answered by its store or disk, and let go of' "$log"
[ ! -e cairn.sock ]
kill -CONT "$twin_pid"
once app.db --to "$(s3 app.db)"
restores_to_state_of "$(s3 app.db)" app.db

# A layer alone, which is in the middle of a sync.
mkdir tree
echo 1 >tree/file
printf '[defaults]\nstop_timeout = "300ms"\nstate_dir = "%s/state"\n[[layer]]\nname = "w"\ndirectory = "%s/tree"\nto = "%s"\ninterval = "50ms"\nquiet = "0"\n' \
  "$dir" "$dir" "$(s3 layers)" >cairn.toml
: >"$log"
start_configured
restores_it() { rm -rf restored && "$CAIRN" layer restore "$(s3 layers)" --name w -o restored >/dev/null 2>&1 && diff -r tree restored; }
wait_until restores_it
kill -STOP "$twin_pid"
echo 2 >tree/file
kill "$cairn_pid"
status=0
wait "$cairn_pid" || status=$?
[ $status = 6 ]
grep -q 'layer w is not answered by its store or disk, and let go of' "$log"
kill -CONT "$twin_pid"
sed -i 's/300ms/60s/' cairn.toml  # now there is an answer to wait for
: >"$log"
start_configured
wait_until restores_it
stop_replicate
