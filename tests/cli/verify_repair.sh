#!/usr/bin/env bash
# verify --repair rebuilds what others hold, keeps the damaged bytes, and says what is lost; with --database it begins anew.
. "$(dirname "$0")/common.sh"

make_db app.db
once app.db --to replica
for n in 1 2 3 4 5 6; do
  add_rows app.db 5
  once app.db --to replica
done
expect 0 snapshot app.db --to replica
add_rows app.db 5
once app.db --to replica
expect 0 "$CAIRN" compact replica --strategy identity --catalogue "$dir/catalogue.db" --grace 1h
bundle=$(first_object replica/levels '*.wal.zst')
snapshot_6=$(first_object replica/snapshots '*-00000000000000000006.sqlite.zst')
damage() { chmod u+w "$1"; printf 'damaged!' | dd of="$1" bs=1 seek=30 conv=notrunc status=none; }

damage "$(printf 'replica/wal/%020d.wal.zst' 3)"
damage "$snapshot_6"
expect 0 "$CAIRN" verify replica --repair --dry-run
grep -q 'would be rebuilt' "$out"
[ ! -e replica/damaged ]
expect 0 "$CAIRN" verify replica --repair
[ "$(grep -c ': rebuilt from .*; the damaged one is kept as damaged/' "$out")" = 2 ]
[ "$(find replica/damaged -type f | wc -l)" = 2 ]
grep -q 'damaged!' -r replica/damaged
expect 0 "$CAIRN" verify replica --deep --samples 99
damage "$bundle"
expect 0 "$CAIRN" verify replica --repair --json
python3 -c 'import json, sys
j = json.load(sys.stdin)
assert [d["mended"] for d in j["damaged"]] == ["rebuilt"] and j["lost"] == [] and j["dry_run"] is False' <"$out"
expect 0 "$CAIRN" verify replica --deep --samples 99
restores_to_state_of replica app.db
expect 0 "$CAIRN" list . --json
python3 -c 'import json, sys; assert len(json.load(sys.stdin)["replicas"]) == 1' <"$out"

# Nobody else holds it.
add_rows app.db 5
once app.db --to replica
rm -rf replica/levels
find state -path '*/kept/*' -type f -delete  # else a merge that is due by now brings it back
damage "$(printf 'replica/wal/%020d.wal.zst' 7)"
got=0
"$CAIRN" verify replica --repair >"$out" || got=$?
[ $got = 5 ]
grep -q 'cannot be repaired' "$out"
grep -q '^lost, unless .*: the states 7-8$' "$out"
expect 2 "$CAIRN" verify replica --database app.db

# From the database what is newest comes back; what lay between is named.
got=0
"$CAIRN" verify replica --repair --database app.db --state-dir "$dir/state" >"$out" 2>"$err" || got=$?
[ $got = 5 ]
grep -q '^lost for good: the states 7; ' "$out"
restores_to_state_of replica app.db
