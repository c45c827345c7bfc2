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

[[database]]
directory = "$dir/more"
to = "$dir/replicas"
END
mkdir more
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
ln app.db more/other.db  # the same file: it is left out
wait_until grep -q 'not replicated: .*more/other.db' "$log"
sqlite3 late.db 'PRAGMA journal_mode=WAL; CREATE TABLE t(x)' >/dev/null
"$CAIRN" register late.db --to "$dir/late"
wait_until grep -q 'late.db.*following it' "$log"
"$CAIRN" unregister late.db
wait_until grep -q 'late.db.*stopped' "$log"
kill -TERM $daemon
wait $daemon
grep -q '^STOPPING=1' heard
grep -q '^EXTEND_TIMEOUT_USEC=[0-9]' heard

python3 - "$log" "$dir" <<'END'
import json, sys
folder = sys.argv[2]
lines = [json.loads(line) for line in open(sys.argv[1])]
assert all({"time", "level", "message"} <= line.keys() for line in lines), lines

def about(name):
    path = f"{folder}/{name}"
    mine = [line for line in lines if line.get("database") == path]
    assert mine, lines
    return mine

def since(word, mine):  # all of them have the sequence
    first = next(i for i, line in enumerate(mine) if line["message"].startswith(word))
    assert all(isinstance(line.get("sequence"), int) for line in mine[first:]), mine
    return mine[first:]

assert since("attached", about("app.db"))[-1]["message"].startswith("stopped"), lines
assert "the same database" in about("more/other.db")[0]["message"], lines
late = about("late.db")
assert late[0]["message"].startswith("registered, to "), late
words = [line["message"].split(",")[0].split(";")[0] for line in since("attached", late)]
assert "no longer registered" in words and "stopped" in words, words
# What is left is about the process itself.
assert not any(".db" in line["message"] for line in lines if "database" not in line), lines
END
