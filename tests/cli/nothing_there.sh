#!/usr/bin/env bash
. "$(dirname "$0")/common.sh"

expect 3 "$CAIRN" restore nowhere -o x.db
expect 3 "$CAIRN" history nowhere
expect 3 "$CAIRN" list nowhere
expect 3 "$CAIRN" verify nowhere
[ ! -e nowhere ] && [ ! -e x.db ]
make_db app.db
once app.db --to backup/app.db
expect 3 "$CAIRN" restore backup -o x.db
says 'app.db'  # where it would have been
