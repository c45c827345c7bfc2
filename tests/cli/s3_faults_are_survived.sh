#!/usr/bin/env bash
# With a fault in every tenth request, of every kind that object stores have, what is published is what was committed.
. "$(dirname "$0")/common.sh"

start_twin
make_db app.db
control POST 'faults?seed=11&rate=10&faults=ordinary&operations=all'
start_replicate app.db --to "$(s3 app.db)" --interval 10ms
for ((i = 0; i < 40; i++)); do add_rows app.db 20; sleep 0.03; done
# A flipped bit in what is read is found, and ends a command that reads: that is another test.
reading=error_before,slow_down,slow_down_wait,too_many,proxy_error,empty_error,burst,reset_before,reset_in_answer
reading=$reading,truncated,slow_body,silent_close,one_key
control POST "faults?seed=12&rate=10&faults=$reading&operations=all"
is_published() { "$CAIRN" restore "$(s3 app.db)" -o now.db --overwrite >/dev/null 2>&1 && [ "$(count now.db)" = 803 ]; }
wait_until is_published
stop_replicate
restores_to_state_of "$(s3 app.db)" app.db
expect 0 "$CAIRN" verify "$(s3 app.db)" --deep
control POST faults
expect 0 "$CAIRN" verify "$(s3 app.db)" --deep
