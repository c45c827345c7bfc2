#!/usr/bin/env bash
. "$(dirname "$0")/common.sh"

make_db app.db
echo 'a file' >backup
expect 6 replicate app.db --to backup --once
says backup
[ "$(cat backup)" = 'a file' ]
expect 6 replicate app.db --to backup/below --once --timeout 300ms
for command in history list verify; do
  status=0
  "$CAIRN" $command backup >"$out" 2>"$err" || status=$?
  [ $status != 0 ]
done
