#!/usr/bin/env bash
# A running cairn is asked by its socket: status, sync, register, unregister, reload, stop; what it is asked wrongly it says.
. "$(dirname "$0")/common.sh"

for name in a b; do make_db $name.db; done
cat >cairn.toml <<END
[defaults]
to = "$dir/backup"
state_dir = "$dir/state"
interval = "1h"
[[database]]
path = "$dir/a.db"
END
expect 3 "$CAIRN" status
says 'no cairn listens at'
start_configured
wait_until "$CAIRN" status
[ "$(stat -c %a cairn.sock)" = 600 ]
wait_until is_following backup/a.db

# Durable when it returns, although the interval is an hour: the store alone has it.
for ((i = 0; i < 10; i++)); do
  add_rows a.db 3
  expect 0 "$CAIRN" sync a.db --wait
  grep -q 'durable, up to sequence' "$out"
  restores_to_state_of backup/a.db a.db
done
expect 0 "$CAIRN" sync ./a.db --wait --json
python3 -c 'import json,sys; d=json.load(open(sys.argv[1])); assert d["durable"] and d["sequence"] >= 10' "$out"
expect 0 "$CAIRN" status --json
python3 -c 'import json,sys
d = json.load(open(sys.argv[1]))["databases"]
assert len(d) == 1 and d[0]["settled"] and d[0]["lag_ms"] == 0 and d[0]["failing"] is None, d' "$out"
expect 0 "$CAIRN" status a.db
grep -q 'following *none' "$out"
expect 3 "$CAIRN" sync b.db --wait
says 'is not replicated by this process'

# Registered: it lasts; what is named already is refused, and so is what is none.
expect 0 "$CAIRN" register b.db --set interval=1h
expect 0 "$CAIRN" sync b.db --wait
restores_to_state_of backup/b.db b.db
expect 4 "$CAIRN" register b.db
says 'is registered already'
expect 4 "$CAIRN" register a.db
says "cairn.toml:5 names $dir/a.db already"
ln b.db same.db
expect 4 "$CAIRN" register same.db
says 'is the same database as'
expect 3 "$CAIRN" register gone.db
echo 'no database at all, whatever it says' >text.db
expect 2 "$CAIRN" register text.db
make_db c.db
expect 4 "$CAIRN" register c.db --to backup/a.db
says 'would share the replica'
expect 2 "$CAIRN" register c.db --set intervall=1h
says "did you mean 'interval'"
expect 4 "$CAIRN" unregister a.db
says 'take it out there'
expect 3 "$CAIRN" unregister c.db
! grep -q 'c.db\|same.db' state/registered.toml
[ "$(stat -c %a state/registered.toml)" = 600 ]

kill -9 "$cairn_pid"
wait "$cairn_pid" 2>/dev/null || true
: >"$log"
[ -S cairn.sock ]  # of one that is dead
start_configured
wait_until "$CAIRN" status b.db
add_rows b.db 3
expect 0 "$CAIRN" sync b.db a.db --wait
restores_to_state_of backup/b.db b.db
expect 0 "$CAIRN" unregister b.db
wait_until grep -q 'b.db: stopped' "$log"
expect 3 "$CAIRN" status b.db

# A second one with the same socket, asked for by name, does not start; the first goes on.
sed "s#^interval#control = \"$dir/cairn.sock\"\ninterval#; s#/state#/state2#" cairn.toml >second.toml
expect 4 "$CAIRN" replicate --config second.toml
says 'another cairn listens at'

# A file that is not good is said, and changes nothing.
cp cairn.toml good.toml
echo 'nonsense' >>cairn.toml
expect 2 "$CAIRN" reload
says 'this is not TOML'
cp good.toml cairn.toml
printf '[[database]]\npath = "%s/c.db"\n' "$dir" >>cairn.toml
expect 0 "$CAIRN" reload
add_rows a.db 3
expect 0 "$CAIRN" sync c.db --wait

# What comes wrongly over the socket does not disturb it.
python3 - cairn.sock <<'END'
import os, socket, sys
for i in range(100):
    s = socket.socket(socket.AF_UNIX)
    s.connect(sys.argv[1])
    try: s.sendall(os.urandom(1 + i * 1000))
    except BrokenPipeError: pass
    if i % 2: s.close()
END
expect 0 "$CAIRN" status
add_rows a.db 3
expect 0 "$CAIRN" stop --wait
! kill -0 "$cairn_pid" 2>/dev/null || [ "$(ps -o stat= -p "$cairn_pid" | cut -c1)" = Z ]
wait "$cairn_pid"
[ ! -e cairn.sock ]
for name in a c; do restores_to_state_of backup/$name.db $name.db; done
