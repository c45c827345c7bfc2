#!/usr/bin/env bash
. "$(dirname "$0")/common.sh"

make_db app.db
echo 'a file' >state
status=0
replicate app.db --to backup --once >"$out" 2>"$err" || status=$?
[ $status = 1 ] || [ $status = 2 ] || fail "exit status $status"
says state
[ "$(cat state)" = 'a file' ]
