#!/usr/bin/env bash
# cairn sync --wait: while the store is away it waits, and gives up with what is in the way; when it returns, it is durable.
. "$(dirname "$0")/common.sh"

start_twin
make_db app.db
cat >cairn.toml <<END
[defaults]
state_dir = "$dir/state"
interval = "1h"
[[database]]
path = "$dir/app.db"
to = "$(s3 app.db)"
END
start_configured
wait_until "$CAIRN" status
expect 0 "$CAIRN" sync app.db --wait
control POST 'faults?seed=1&rate=1000&faults=error_before&operations=all'
add_rows app.db 10
expect 6 "$CAIRN" sync app.db --wait --timeout 100ms
says 'not everything is in the store yet'
"$CAIRN" sync app.db --wait >sync.out 2>&1 &
sync_pid=$!
pids+=("$sync_pid")
wait_until bash -c '"$CAIRN" status | grep -q following'
kill -0 "$sync_pid"
control POST faults
wait "$sync_pid"
grep -q 'durable' sync.out
restores_to_state_of "$(s3 app.db)" app.db
stop_replicate
