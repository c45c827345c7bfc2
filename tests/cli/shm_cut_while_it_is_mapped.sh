#!/usr/bin/env bash
# A program that may write to a database's -shm cuts it to nothing: whoever has it mapped is sent SIGBUS. Cairn opens
# that database anew and goes on; the other databases of the process notice nothing.
. "$(dirname "$0")/common.sh"

make_db app.db
make_db other.db
cat >writer.py <<'PYTHON'
import sqlite3, sys
db = sqlite3.connect("app.db", isolation_level=None, timeout=30)
db.execute("PRAGMA wal_autocheckpoint = 0")
for line in sys.stdin:
    for _ in range(int(line)):
        db.execute("INSERT INTO t (v) VALUES (hex(randomblob(200)))")
    print("done", flush=True)
PYTHON
start_writer() {
  coproc WRITER { exec python3 writer.py; }
  pids+=("$WRITER_PID")
}
write() {
  echo "$1" >&"${WRITER[1]}"
  read -r -t 60 <&"${WRITER[0]}"
}
end_writer() {
  kill -9 "$WRITER_PID"
  wait "$WRITER_PID" 2>/dev/null || true
}

has_rows() {
  rm -f seen.db
  "$CAIRN" restore backup/app.db -o seen.db && [ "$(count seen.db)" = "$1" ]
}

start_replicate app.db other.db --to backup --interval 20ms
wait_until is_following backup/app.db
wait_until is_following backup/other.db
for round in 1 2 3; do
  start_writer
  write 2000  # the index is longer than one mapping
  # To nothing: with the header left, the next program would take the rest, which is zeros by then, for an index.
  truncate -s 0 app.db-shm
  add_rows other.db 10
  sleep 0.3
  end_writer
  start_writer
  write 50
  end_writer
  add_rows app.db 5
  wait_until has_rows $((3 + round * 2055))
done
grep -q 'app.db-shm was cut' "$log"
stop_replicate
restores_to_state_of backup/app.db app.db
restores_to_state_of backup/other.db other.db
[ "$(count app.db)" = $((3 + 3 * 2055)) ]
expect 0 sql app.db 'PRAGMA integrity_check'
[ "$(cat "$out")" = ok ]
expect 0 "$CAIRN" verify backup/app.db --deep
