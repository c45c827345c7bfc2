#!/usr/bin/env bash
# While it runs, after a kill, and readable like everything else; mistakes in the windows are told.
. "$(dirname "$0")/common.sh"

make_db app.db
start_replicate app.db --to backup --interval 50ms --levels 1s,3s,6s
wait_until is_following backup
add_until() {  # add_until <command>...: rows, one publish after the other, until it succeeds
  for ((round = 0; round < 600; round++)); do
    add_rows app.db 2
    if "$@" >/dev/null 2>&1; then return 0; fi
    sleep 0.1
  done
  fail "did not come true: $*"
}
has_level() { [ -n "$(find backup/levels/"$1" -name '*.wal.zst' 2>/dev/null)" ]; }
add_until has_level 1
kill -9 "$cairn_pid"
wait "$cairn_pid" || true
start_replicate app.db --to backup --interval 50ms --levels 1s,3s,6s
add_until has_level 2
add_until has_level 3
stop_replicate
restores_to_state_of backup app.db
expect 0 "$CAIRN" verify backup
zstd -qdc "$(first_object backup/levels/2 '*.wal.zst')" >merged.wal
[ "$(head -c 4 merged.wal | od -An -tx1)" = ' 37 7f 06 82' ]

expect 2 replicate app.db --to backup --levels 1s,1500ms
says 'a multiple of the one before it'
# What suits a folder, unless something else is said: two levels less than object storage has.
make_db plain.db
rm -rf state
replicate plain.db --to plain --once >"$out" 2>"$err"
[ "$(find state -path '*/kept/[0-9]' | wc -l)" = 5 ]  # what waits for each of four levels, and what the last one has

make_db other.db
start_replicate other.db --to none --interval 50ms --levels none
wait_until is_following none
for ((i = 0; i < 10; i++)); do add_rows other.db 1; sleep 0.1; done
stop_replicate
[ ! -e none/levels ]
