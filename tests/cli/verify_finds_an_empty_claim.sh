#!/usr/bin/env bash
# A replica that was begun but holds nothing is no good replica.
. "$(dirname "$0")/common.sh"

make_db app.db
once app.db --to backup
rm -rf backup/snapshots
expect 3 "$CAIRN" verify backup
expect 3 "$CAIRN" restore backup -o x.db
