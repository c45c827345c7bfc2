#!/usr/bin/env bash
# Every published state can be reached, by its number and by its time.
. "$(dirname "$0")/common.sh"

make_db app.db
once app.db --to backup
for n in 1 2 3; do
  add_rows app.db $n
  once app.db --to backup
  state_of app.db state$n.db
  sleep 0.01  # so that no two states share a millisecond
done
for n in 1 2 3; do
  expect 0 "$CAIRN" restore backup -o by-number.db --overwrite --sequence $n
  cmp by-number.db state$n.db
  time=$("$CAIRN" history backup --json | python3 -c "
import json, sys
print([p['time'] for p in json.load(sys.stdin)['restore_points'] if p['sequence'] == $n][0])")
  expect 0 "$CAIRN" restore backup -o by-time.db --overwrite --at "$time"
  cmp by-time.db state$n.db
done
expect 0 "$CAIRN" restore backup -o future.db --at 2100-01-01
cmp future.db state3.db
expect 3 "$CAIRN" restore backup -o none.db --sequence 4
expect 3 "$CAIRN" restore backup -o none.db --at 2001-01-01
expect 2 "$CAIRN" restore backup -o none.db --at yesterday
expect 2 "$CAIRN" restore backup -o none.db --at 2100-01-01 --sequence 1
# Of a variable that is not set: the newest state is not what was asked for.
expect 2 "$CAIRN" restore backup -o none.db --at ''
expect 2 "$CAIRN" restore backup -o none.db --sequence ''
expect 2 "$CAIRN" restore backup -o none.db --sequence -1
[ ! -e none.db ]
