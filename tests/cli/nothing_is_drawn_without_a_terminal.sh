#!/usr/bin/env bash
# No bars and no control characters in logs.
. "$(dirname "$0")/common.sh"

make_db app.db
add_rows app.db 5000
once app.db --to backup
cat "$err" >all
expect 0 "$CAIRN" restore backup -o x.db
cat "$err" "$out" >>all
expect 0 "$CAIRN" verify backup --deep
cat "$err" "$out" >>all
! grep -q -P '[\x00-\x08\x0b-\x1f]' all
