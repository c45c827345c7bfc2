#!/usr/bin/env bash
# A database or a layer that fails is told by its name and tried again; the others do not notice. JSON says the same.
. "$(dirname "$0")/common.sh"

make_db good.db
head -c 5000 /dev/zero | tr '\0' x >bad.db
make_db diverged.db
add_rows diverged.db 7
expect 0 replicate good.db --to backup/diverged.db --once
cat >cairn.toml <<END
[defaults]
to = "$dir/backup"
state_dir = "$dir/state"
interval = "50ms"
[[database]]
path = "$dir/bad.db"
[[database]]
path = "$dir/diverged.db"
[[database]]
path = "$dir/good.db"
[[layer]]
name = "web"
directory = "$dir/upper"
to = "$dir/layers"
END
"$CAIRN" replicate --config cairn.toml --json >lines 2>"$log" &
cairn_pid=$!
pids+=("$cairn_pid")
wait_until grep -q "$dir/bad.db: .*tried again" "$log"
wait_until grep -q "$dir/diverged.db .*--adopt local.*tried again" "$log"
wait_until grep -q 'web: .*tried again' "$log"
wait_until grep -q "$dir/good.db: following it" "$log"
add_rows good.db 5
wait_until test -e backup/good.db/wal/00000000000000000001.wal.zst

# Put right, they are tried again by themselves; a SIGHUP hurries them.
mkdir upper && echo 1 >upper/file
rm bad.db
make_db bad.db
kill -HUP "$cairn_pid"
wait_until grep -q "$dir/bad.db: following it" "$log"
wait_until grep -q '"container":"web".*"published":true' lines
# The one that still fails is the exit status.
status=0
kill -TERM "$cairn_pid"
wait "$cairn_pid" || status=$?
[ $status = 4 ] || fail "it ended with status $status"
restores_to_state_of backup/good.db good.db
restores_to_state_of backup/bad.db bad.db
python3 - <<'END'
import collections, json, os
lines = [json.loads(line) for line in open("lines")]
assert all("database" in line or "container" in line for line in lines), lines
of = collections.defaultdict(list)
for line in lines: of[line.get("database") or line["container"]].append(line)
here = os.getcwd() + "/"
assert of[here + "bad.db"][0]["error"]["kind"] == "invalid" and of[here + "bad.db"][0]["again_ms"] > 0
assert of[here + "bad.db"][-1]["phase"] == "following"
errors = [line for line in of[here + "diverged.db"] if "error" in line]
assert [line["error"]["kind"] for line in errors] == ["conflict"], errors
assert of[here + "good.db"][-1]["settled"] and not any("error" in line for line in of[here + "good.db"])
assert of["web"][0]["error"] and of["web"][-1]["published"]
END
