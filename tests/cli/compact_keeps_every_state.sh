#!/usr/bin/env bash
# cairn compact: a dry run touches nothing; what is merged restores to every state, byte for byte, before and after its
# sources have gone; sqlite3 and zstd alone read it; and replication goes on behind it.
. "$(dirname "$0")/common.sh"

json() { python3 -c 'import json, sys; j = json.load(open(sys.argv[1])); print(eval(sys.argv[2]))' "$out" "$1"; }
compact() { "$CAIRN" compact --catalogue "$dir/cat/catalogue.db" "$@"; }
listing() { find replica -type f | sort | xargs sha256sum; }
every_state_is_there() {
  for n in $(seq 0 "$last"); do
    rm -f old.db
    expect 0 "$CAIRN" restore replica -o old.db --sequence "$n"
    cmp old.db "state.$n"
  done
}

make_db app.db
once app.db --to replica
state_of app.db state.0
last=18
for n in $(seq 1 $last); do
  add_rows app.db 3
  once app.db --to replica
  state_of app.db "state.$n"
done
listing >before

expect 0 compact replica --fan 4 --dry-run --json
[ "$(json 'j["dry_run"], [m["source_objects"] for m in j["merged"]], j["removed_objects"]')" = '(True, [16], 0)' ]
listing | cmp - before

expect 0 compact replica --fan 4 --json
[ "$(json 'len(j["merged"]), j["merged"][0]["restore_points"], j["merged"][0]["kind"]')" = "(1, 16, 'bundle')" ]
[ "$(json 'j["objects_before"], j["objects_after"], j["removed_objects"], j["waiting_objects"]')" = '(19, 20, 0, 16)' ]
[ "$(json 'j["restore_before"]["requests"] > 3 * j["restore_after"]["requests"]')" = True ]
[ "$(json 'j["restore_points_before"] == j["restore_points_after"] == 19')" = True ]
every_state_is_there
# What is younger than the grace period is not relied on; without one, all that was merged goes.
expect 0 compact replica --fan 4 --grace 0
grep -q 'removed 16 objects' "$out" && grep -q 'a restore of the newest state took' "$out"
[ "$(find replica/wal -name '*.wal.zst' | wc -l)" = 2 ]
every_state_is_there
expect 0 "$CAIRN" verify --deep replica
bundle=$(find replica/levels -type f)
zstd -qdc "$(find replica/snapshots -type f)" >by_hand.db
zstd -qdc "$bundle" >by_hand.db-wal
[ "$(sql by_hand.db 'PRAGMA wal_checkpoint(TRUNCATE)' | cut -d '|' -f 1)" = 0 ]
cmp by_hand.db state.16

# On it goes.
add_rows app.db 3
once app.db --to replica
restores_to_state_of replica app.db
expect 0 compact replica --fan 4 --strategy identity --grace 0 --json
[ "$(json 'j["merged"][0]["source_objects"]')" = 4 ]
state_of app.db state.19
last=19
every_state_is_there
expect 0 "$CAIRN" verify --deep replica
add_rows app.db 3
once app.db --to replica
restores_to_state_of replica app.db

# States go only when it is said, and what is left is named.
expect 0 compact replica --strategy identity --squash-older 0 --grace 0
expect 3 "$CAIRN" restore replica -o gone.db --sequence 5
says 'no restore point of its own any more'
restores_to_state_of replica app.db
expect 0 "$CAIRN" verify --deep replica

# Nothing is left of the merges on this machine.
[ -z "$(find cat/merging -type f)" ]

expect 2 compact replica --strategy best
expect 2 compact replica --fan 1
expect 2 compact replica --squash-older old
expect 2 compact replica --all
expect 2 compact
expect 3 compact "$dir/nowhere"
