#!/usr/bin/env bash
# A writer that never rests does not keep it from ending: what was committed before the signal is published.
. "$(dirname "$0")/common.sh"

make_db app.db
start_replicate app.db --to backup --interval 50ms
wait_until is_following backup
# Of the two processes it is SQLite that is killed; the other ends with the pipe.
sqlite3 -batch -cmd '.timeout 30000' app.db < <(while :; do echo "INSERT INTO t (v) VALUES (1);"; done) >/dev/null 2>&1 &
writer=$!
pids+=("$writer")
has_written() { [ "$(count app.db)" -gt 20 ]; }
wait_until has_written
before=$(count app.db)
stop_replicate TERM
kill -9 "$writer"
"$CAIRN" restore backup -o restored.db >/dev/null
[ "$(count restored.db)" -ge "$before" ]
