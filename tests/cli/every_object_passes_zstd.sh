#!/usr/bin/env bash
. "$(dirname "$0")/common.sh"

make_db app.db
add_rows app.db 3000
once app.db --to backup
for n in 1 2 3; do add_rows app.db 100; once app.db --to backup; done
snapshot app.db --to backup >/dev/null 2>&1
[ "$(find backup -name '*.zst' | wc -l)" = 5 ]
find backup -name '*.zst' -exec zstd -qt {} +
for object in backup/snapshots/*.zst; do
  zstd -qdc "$object" >by-hand.db
  [ "$(sql by-hand.db 'PRAGMA integrity_check')" = ok ]
done
state_of app.db state.db
cmp by-hand.db state.db
