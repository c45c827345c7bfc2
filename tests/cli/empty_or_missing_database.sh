#!/usr/bin/env bash
. "$(dirname "$0")/common.sh"

expect 3 replicate none.db --to backup --once
says 'does not exist'
[ ! -e none.db ]
: >empty.db
expect 3 replicate empty.db --to backup --once
says 'is empty'
[ ! -s empty.db ]
[ ! -e backup ]
mkdir folder.db
expect 2 replicate folder.db --to backup --once
