#!/usr/bin/env bash
# systemd (here: something that listens as it does) hears when the daemon is ready, reads its configuration again and
# stops, and hears from it as often as its watchdog wants. Its log is JSON that names database and sequence.
. "$(dirname "$0")/common.sh"

sqlite3 app.db 'PRAGMA journal_mode=WAL; CREATE TABLE t(x); INSERT INTO t VALUES (1)' >/dev/null
cat >cairn.toml <<END
[defaults]
state_dir = "$dir/state"

[[database]]
path = "$dir/app.db"
to = "$dir/replica"
END
python3 - >heard <<'END' &
import os, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind("notify")
while True:
    for line in s.recv(4096).decode().splitlines():
        print(line, flush=True)
END
listener=$!
pids+=($listener)
wait_until [ -S notify ]

NOTIFY_SOCKET=$dir/notify WATCHDOG_USEC=400000 "$CAIRN" --log-format json replicate --config cairn.toml 2>"$log" &
daemon=$!
pids+=($daemon)
wait_until grep -q '^READY=1' heard
wait_until grep -q 'following it' "$log"
heard_beats() { [ "$(grep -c '^WATCHDOG=1' heard)" -ge "$1" ]; }
wait_until heard_beats 3
kill -HUP $daemon
reloaded() { [ "$(grep -c '^READY=1' heard)" = 2 ] && grep -q '^RELOADING=1' heard; }
wait_until reloaded
grep -q '^MONOTONIC_USEC=[0-9]' heard
kill -TERM $daemon
wait $daemon
grep -q '^STOPPING=1' heard
grep -q '^EXTEND_TIMEOUT_USEC=[0-9]' heard

python3 - "$log" "$dir/app.db" <<'END'
import json, sys
lines = [json.loads(line) for line in open(sys.argv[1])]
assert all({"time", "level", "message"} <= line.keys() for line in lines), lines
about = [line for line in lines if line.get("database") == sys.argv[2]]
assert any(line["message"].startswith("following it") and isinstance(line["sequence"], int) for line in about), lines
assert about[-1]["message"].startswith("stopped"), about[-1]
END
