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
status=0
"$CAIRN" restore backup -o x.db >"$out" 2>"$err" || status=$?
[ $status = 4 ] || [ $status = 5 ] || fail "exit status $status"
says 'lineage'
[ ! -e x.db ]
status=0
"$CAIRN" verify backup >"$out" 2>"$err" || status=$?
[ $status = 5 ]
