#!/usr/bin/env bash
# One database under three names has one history.
. "$(dirname "$0")/common.sh"

mkdir real
make_db real/app.db
ln -s real/app.db link.db
once link.db --to backup
add_rows real/app.db 5
once ./real/../link.db --to "$dir/backup"
add_rows link.db 5
(cd real && once app.db --to ../backup)
restores_to_state_of backup real/app.db
[ "$(newest_sequence backup)" = 2 ]
[ "$(ls state | wc -l)" = 1 ]
