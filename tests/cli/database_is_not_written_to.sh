#!/usr/bin/env bash
# Schema, user_version and every byte of the committed state stay as they were.
. "$(dirname "$0")/common.sh"

make_db app.db
sql app.db 'PRAGMA user_version = 42; PRAGMA wal_checkpoint(TRUNCATE)' >/dev/null
cp app.db before.db
once app.db --to backup
snapshot app.db --to backup >/dev/null 2>&1
state_of app.db after.db
cmp before.db after.db
