#!/usr/bin/env bash
# What only reads, or is as safe after a crash, ends at the first signal, also while a store does not answer; a restore
# ends at the second one.
. "$(dirname "$0")/common.sh"

start_twin
make_db app.db
once app.db --to "$(s3 app.db)"
add_rows app.db 10
once app.db --to "$(s3 app.db)"
mkdir tmp
export TMPDIR=$dir/tmp
control POST 'faults?seed=1&rate=100&faults=stall&operations=all'
asked() { counts | awk '{ sum += $2 } END { print sum }'; }
begin() {  # begin <command>...: in the background, until it waits for the store
  local before
  before=$(asked)
  "$CAIRN" "$@" >"$out" 2>"$err" &
  command_pid=$!
  pids+=("$command_pid")
  has_asked() { [ "$(asked)" -gt "$before" ]; }
  wait_until has_asked
}
ends_with() {  # ends_with <status>
  local status=0
  wait "$command_pid" || status=$?
  [ $status = "$1" ] || fail "status $status instead of $1"
}
for command in list history verify 'verify --deep' prune 'layer list' 'layer verify'; do
  begin $command "$(s3 app.db)"
  kill -INT "$command_pid"
  ends_with 130
done
begin list "$(s3 app.db)"
kill -TERM "$command_pid"
ends_with 143
[ -z "$(ls -A tmp)" ] || fail "a scratch folder is left: $(ls tmp)"

begin restore "$(s3 app.db)" -o restored.db
kill -TERM "$command_pid"
kill -INT "$command_pid"
status=0
wait "$command_pid" || status=$?
[ $status -gt 128 ] || fail "a restore ends with $status at the second signal"
[ ! -e restored.db ]
