#!/usr/bin/env bash
. "$(dirname "$0")/common.sh"

make_db app.db
expect 2 replicate app.db --to 'gopher://host/backup' --once
says gopher
expect 2 "$CAIRN" restore 'gopher://host/backup' -o x.db
