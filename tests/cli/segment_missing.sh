#!/usr/bin/env bash
# A gap is named; the states before it can still be restored.
. "$(dirname "$0")/common.sh"

make_db app.db
once app.db --to backup
for n in 1 2 3; do
  add_rows app.db $n
  once app.db --to backup
  state_of app.db state$n.db
done
rm "$(find backup/wal -name '*2.wal.zst')"
expect 5 "$CAIRN" restore backup -o x.db
says '2'
[ ! -e x.db ]
status=0; "$CAIRN" verify backup >"$out" 2>"$err" || status=$?
[ $status = 5 ]
expect 0 "$CAIRN" restore backup -o one.db --sequence 1
cmp one.db state1.db
