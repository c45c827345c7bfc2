#!/usr/bin/env bash
# While the store is away a missing database keeps the program from starting; when it answers, the program finds it. What
# was captured and not published belongs to it. A configuration does the same.
. "$(dirname "$0")/common.sh"

start_twin
make_db app.db
once app.db --to "$(s3 app.db)"
# Captured, and kept in the spool by a store that takes nothing.
control POST 'faults?seed=1&rate=1000&faults=error_before&operations=all'
start_replicate app.db --to "$(s3 app.db)" --interval 10ms
wait_until grep -q 'the store does not answer yet' "$log"
add_rows app.db 10
wait_until bash -c 'ls state/app.db-*/spool/* && [ ! -s app.db-wal ] || ls state/app.db-*/spool/*'
state_of app.db wanted.db
kill -9 "$cairn_pid"
wait "$cairn_pid" 2>/dev/null || true
rm -f app.db app.db-wal app.db-shm
: >"$log"
start_replicate app.db --to "$(s3 app.db)" --restore-if-missing --exec 'cp app.db seen.db'
wait_until grep -q 'does not exist: looking for it' "$log"
[ ! -e seen.db ] && [ ! -e app.db ]
control POST faults
wait "$cairn_pid"
cmp seen.db wanted.db

# As a key of the configuration.
rm -rf app.db app.db-wal app.db-shm state
printf '[defaults]\nstate_dir = "%s/state"\n[[database]]\npath = "%s/app.db"\nto = "%s"\nrestore_if_missing = true\n' \
  "$dir" "$dir" "$(s3 app.db)" >cairn.toml
: >"$log"
start_configured
wait_until grep -q 'following it' "$log"
expect 0 "$CAIRN" status --json
grep -q '"restored":1' "$out"
expect 0 "$CAIRN" stop --wait
wait "$cairn_pid"
restores_to_state_of "$(s3 app.db)" app.db
cmp restored.db wanted.db
