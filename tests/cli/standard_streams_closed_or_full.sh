#!/usr/bin/env bash
# Whatever the standard streams are: nothing that is printed lands in a file of Cairn's, a reader who has gone and a
# disk that is full end no command in its middle, and what could not be printed is not called done.
. "$(dirname "$0")/common.sh"

make_db app.db
once app.db --to backup
for ((i = 0; i < 50; i++)); do add_rows app.db 1; once app.db --to backup; done

# Closed: a file would get their numbers, and what is logged.
add_rows app.db 7
replicate app.db --to backup --once <&- >&- 2>&-
add_rows app.db 7
"$CAIRN" replicate --state-dir "$dir/state" app.db --to backup --interval 10ms <&- >&- 2>&- &
cairn_pid=$!
pids+=("$cairn_pid")
add_rows app.db 7
restored_count() { "$CAIRN" restore backup -o now.db --overwrite && [ "$(count now.db)" = "$(count app.db)" ]; }
wait_until restored_count
stop_replicate
expect 0 "$CAIRN" verify backup
restores_to_state_of backup app.db
"$CAIRN" restore backup -o closed.db <&- >&- 2>&-
cmp closed.db state.db
! "$CAIRN" restore nowhere -o nothing.db <&- >&- 2>&-
printed=$("$CAIRN" replicate --state-dir "$dir/state" app.db --to backup --exec 'echo to nobody >&2; echo hello' \
  <&- 2>&-)
[ "$printed" = hello ]

# A reader who has had enough.
"$CAIRN" history backup --json | head -c 10 >first
[ "$(cat first)" = '{"replica"' ]
{ "$CAIRN" history backup --json --log-level debug; echo $? >status; } | true
[ "$(cat status)" = 0 ]
add_rows app.db 7
"$CAIRN" replicate --state-dir "$dir/state" app.db --to backup --interval 10ms --json > >(head -n 1 >first) 2>"$err" &
cairn_pid=$!
pids+=("$cairn_pid")
for ((i = 0; i < 20; i++)); do add_rows app.db 1; sleep 0.02; done
wait_until restored_count
stop_replicate
[ "$(wc -l <first)" = 1 ]

# A full disk.
for command in 'history backup --json' 'restore backup -o full.db --overwrite' 'list .' 'version'; do
  status=0
  "$CAIRN" $command >/dev/full 2>"$err" || status=$?
  [ $status = 1 ] || fail "$command: status $status"
  says 'could not be written to standard output'
done
state_of app.db state.db
cmp full.db state.db
status=0
"$CAIRN" restore nowhere -o nothing.db 2>/dev/full || status=$?
[ $status = 3 ] || fail "status $status with nowhere to say why"
