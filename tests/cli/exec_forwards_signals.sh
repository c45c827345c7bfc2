#!/usr/bin/env bash
# SIGTERM goes to the program; Cairn ends after it, with its status, when all is published.
. "$(dirname "$0")/common.sh"

make_db app.db
cat >program <<'SH'
trap 'sqlite3 app.db "INSERT INTO t (v) VALUES (1)"; exit 5' TERM
touch started
while :; do sleep 0.05; done
SH
"$CAIRN" replicate --state-dir state app.db --to backup --exec 'exec bash program' >"$log" 2>&1 &
cairn_pid=$!
pids+=("$cairn_pid")
wait_until test -e started
kill -TERM "$cairn_pid"
status=0
wait "$cairn_pid" || status=$?
[ $status = 5 ]
restores_to_state_of backup app.db
[ "$(count restored.db)" = 4 ]
