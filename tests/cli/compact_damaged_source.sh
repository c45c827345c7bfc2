#!/usr/bin/env bash
# A damaged segment is named (status 5), neither merged nor removed, and the rest of the replica is compacted.
. "$(dirname "$0")/common.sh"

make_db app.db
once app.db --to replica
for n in 1 2 3 4 5 6 7; do
  add_rows app.db 3
  once app.db --to replica
done
victim=$(printf 'wal/%020d.wal.zst' 4)
cp "replica/$victim" good
python3 - "replica/$victim" <<'END'
import sys
with open(sys.argv[1], "r+b") as file:
    file.seek(40)
    byte = file.read(1)[0]
    file.seek(40)
    file.write(bytes([byte ^ 8]))
END
sha256sum "replica/$victim" >sum
compact() { "$CAIRN" compact replica --strategy identity --catalogue "$dir/catalogue.db" --grace 0 "$@"; }
got=0
compact >"$out" 2>"$err" || got=$?
[ $got = 5 ]
grep -q "problem: $victim is damaged" "$out"
sha256sum -c --quiet sum
find replica/levels -type f -printf '%f\n' | sort >merged
printf '%020d-%020d.wal.zst\n' 1 3 5 7 | cmp - merged
expect 0 "$CAIRN" restore replica -o old.db --sequence 3
expect 5 "$CAIRN" restore replica -o new.db

# With a good copy in its place all is well again.
cp good "replica/$victim"
expect 0 compact
restores_to_state_of replica app.db
expect 0 "$CAIRN" verify --deep replica
