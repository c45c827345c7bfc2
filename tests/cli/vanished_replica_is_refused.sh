#!/usr/bin/env bash
# Mostly a mount that is missing: beginning anew there would hide that.
. "$(dirname "$0")/common.sh"

make_db app.db
once app.db --to backup
add_rows app.db 5
once app.db --to backup
mv backup elsewhere
expect 4 replicate app.db --to backup --once
says 'is empty'
[ -z "$(find backup -name '*.zst' 2>/dev/null)" ]
rm -rf backup && mv elsewhere backup
once app.db --to backup
