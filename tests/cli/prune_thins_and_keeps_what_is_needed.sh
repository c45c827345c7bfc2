#!/usr/bin/env bash
# cairn prune: a dry run touches nothing; what is removed is what it said; what stays verifies and restores, byte for
# byte; what went is named as pruned; and replication goes on behind it.
. "$(dirname "$0")/common.sh"

json() { python3 -c 'import json, sys; j = json.load(open(sys.argv[1])); print(eval(sys.argv[2]))' "$out" "$1"; }
listing() { find replica -type f | sort | xargs sha256sum; }

make_db app.db
for i in 1 2 3; do
  add_rows app.db 5
  once app.db --to replica
  state_of app.db state.$i
done
snapshot app.db --to replica >/dev/null 2>&1
middle=$(newest_sequence replica)
for i in 4 5 6; do
  add_rows app.db 5
  once app.db --to replica
done
snapshot app.db --to replica >/dev/null 2>&1
listing >before

# All of it is younger than the grace period.
expect 0 "$CAIRN" prune replica --keep-all 0 --hourly 0 --daily 0 --monthly 0 --json
[ "$(json 'j["going_objects"], j["removed_objects"]')" = '(0, 0)' ]
[ "$(json 'sum(j["kept_restore_points"].values())')" = "$(($(newest_sequence replica) + 1))" ]
# Everything is from today: no state goes, at most what leads to a snapshot.
expect 0 "$CAIRN" prune replica --grace 0 --dry-run --json
[ "$(json 'j["dropped_restore_points"], j["going_objects"] < 2')" = '(0, True)' ]
listing | cmp - before

expect 0 "$CAIRN" prune replica --grace 0 --keep-all 0 --hourly 0 --daily 0 --monthly 0 --dry-run --json
going=$(json 'sorted(o["key"] for o in j["objects"] if o["fate"] == "goes")')
bytes=$(json 'j["going_bytes"]')
[ "$(json 'j["removed_objects"]')" = 0 ] && [ "$(json 'j["going_objects"] >= 6')" = True ]
expect 0 "$CAIRN" prune replica --grace 0 --keep-all 0 --hourly 0 --daily 0 --monthly 0 --dry-run
grep -q 'would remove' "$out" && grep -q '^snapshots' "$out" && grep -q 'behind the newest snapshot' "$out"
listing | cmp - before

expect 0 "$CAIRN" prune replica --grace 0 --keep-all 0 --hourly 0 --daily 0 --monthly 0 --json
[ "$(json 'sorted(o["key"] for o in j["objects"] if o["fate"] == "goes")')" = "$going" ]
[ "$(json 'j["removed_bytes"]')" = "$bytes" ]
[ ! -e "replica/wal/$(printf %020d "$middle").wal.zst" ]
expect 0 "$CAIRN" verify --deep replica
restores_to_state_of replica app.db
expect 3 "$CAIRN" restore replica -o old.db --sequence "$middle"

# On it goes: what is published now is chained to what was kept.
add_rows app.db 5
once app.db --to replica
expect 0 "$CAIRN" verify --deep replica
restores_to_state_of replica app.db

# A replica in which something is missing that no prune has removed is left as it is.
add_rows app.db 5
once app.db --to replica
add_rows app.db 5
once app.db --to replica
rm "replica/wal/$(printf %020d $(($(newest_sequence replica) - 1))).wal.zst"
listing >before
expect 5 "$CAIRN" prune replica --grace 0
says 'missing'
listing | cmp - before

expect 2 "$CAIRN" prune replica --hourly many
expect 2 "$CAIRN" prune replica --keep-all sometimes
expect 3 "$CAIRN" prune "$dir/nowhere"
