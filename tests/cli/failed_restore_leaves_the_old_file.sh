#!/usr/bin/env bash
. "$(dirname "$0")/common.sh"

make_db app.db
once app.db --to backup
add_rows app.db 10
once app.db --to backup
object=$(first_object backup '*.wal.zst')
printf '\377' | dd of="$object" bs=1 seek=60 conv=notrunc status=none
echo precious >target.db
expect 5 "$CAIRN" restore backup -o target.db --overwrite
[ "$(cat target.db)" = precious ]
[ "$(ls -A | grep -c '^target')" = 1 ]  # and no temporary file is left
