#!/usr/bin/env bash
# A replica of one snapshot and 100 segments is restored with at most 4 lists and 1.2 gets an object, of which one asks
# for what the store may not list yet, and with nothing else.
. "$(dirname "$0")/common.sh"

start_twin
make_db app.db
start_replicate app.db --to "$(s3 app.db)" --interval 10ms
is_following_s3() { grep -q 'following it' "$log" && grep -q 'snapshot published' "$log"; }
wait_until is_following_s3
# One commit after the other, each published before the next: a segment each, but for what is put beside them.
python3 - "$endpoint" <<'END'
import sqlite3, sys, time, urllib.request

def puts():
    counts = urllib.request.urlopen(sys.argv[1] + "/-twin/counts").read().decode().split()
    return int(counts[counts.index("put_object") + 1])

application = sqlite3.connect("app.db", timeout=30)
until = time.monotonic() + 200
for _ in range(105):
    before = puts()
    with application:
        application.execute("INSERT INTO t (v) VALUES (hex(randomblob(200)))")
    while puts() == before:
        if time.monotonic() > until:
            sys.exit("a commit is not published")
        time.sleep(0.005)
END
stop_replicate
expect 0 "$CAIRN" list "$(s3 '')" --json
python3 -c '
import json, sys
replica, = json.load(open(sys.argv[1]))["replicas"]
assert replica["snapshot_count"] == 1 and replica["segment_count"] >= 100, replica
print(1 + replica["segment_count"])' "$out" >objects
control POST counts/reset
restores_to_state_of "$(s3 app.db)" app.db
counts | python3 -c '
import sys
asked = {name: int(count) for name, count in (line.split() for line in sys.stdin)}
requests, lists, gets = asked.pop("requests"), asked.pop("list_objects"), asked.pop("get_object")
gets += asked.pop("head_object")
assert asked.pop("error.NoSuchKey") == 1, asked
assert lists <= 4, lists
assert gets <= 1.2 * int(open("objects").read()), gets
assert requests == lists + gets and not asked, asked'
no_secrets
