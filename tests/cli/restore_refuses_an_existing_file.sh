#!/usr/bin/env bash
# Without --overwrite; with it, the file is replaced.
. "$(dirname "$0")/common.sh"

make_db app.db
once app.db --to backup
echo precious >target.db
expect 4 "$CAIRN" restore backup -o target.db
says --overwrite
[ "$(cat target.db)" = precious ]
expect 0 "$CAIRN" restore backup -o target.db --overwrite
state_of app.db state.db
cmp target.db state.db
