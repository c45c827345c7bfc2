#!/usr/bin/env bash
# Without --to, the replica is <DB>-cairn.
. "$(dirname "$0")/common.sh"

mkdir sub && make_db sub/app.db
once sub/app.db
restores_to_state_of sub/app.db-cairn sub/app.db
