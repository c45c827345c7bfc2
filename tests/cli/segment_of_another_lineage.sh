#!/usr/bin/env bash
. "$(dirname "$0")/common.sh"

make_db app.db
once app.db --to backup
make_db other.db
once other.db --to other
for db in app other; do add_rows $db.db 10; done
once app.db --to backup
once other.db --to other
cp -f "$(first_object other '*.wal.zst')" "$(first_object backup '*.wal.zst')"
lineage_of() { sed -n 's/.*"db_identifier": *"\([0-9a-f]*\)".*/\1/p' "$1/metadata.json"; }
expect 4 "$CAIRN" restore backup -o x.db
says "00000000000000000001.wal.zst belongs to another history (lineage $(lineage_of other)) than this replica"
says "($(lineage_of backup)): two databases were published to one place; move the foreign object away"
[ ! -e x.db ]
status=0
"$CAIRN" verify backup >"$out" 2>"$err" || status=$?
[ $status = 5 ] || fail "exit status $status"
grep -qF "problem: wal/00000000000000000001.wal.zst belongs to another history (lineage $(lineage_of other))" "$out"
