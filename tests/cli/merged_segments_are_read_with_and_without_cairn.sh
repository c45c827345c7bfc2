#!/usr/bin/env bash
# A bundle or a squashed segment in place of the level-0 segments that it was made of: sqlite3 alone makes the same state of
# it, and cairn restores each of its restore points, takes it for whole, and says what is no restore point any more.
golden=$(cd "$(dirname "$0")/../data/segment/v1" && pwd)
. "$(dirname "$0")/common.sh"

# One publish after the other, by sqlite3.
zstd -qdc "$golden/merge-snapshot-40.sqlite.zst" >state40.db
for n in 41 42 43 44; do
  cp state$((n - 1)).db state$n.db
  zstd -qdc "$golden/merge-$n.wal.zst" >state$n.db-wal
  [ "$(sql state$n.db 'PRAGMA wal_checkpoint(TRUNCATE)' | cut -d '|' -f 1)" = 0 ]
  rm -f state$n.db-wal state$n.db-shm
done
zstd -qdc "$golden/merge-snapshot-44.sqlite.zst" | cmp - state44.db

replica_with() {  # replica_with <folder> <merged object>
  mkdir -p "$1/snapshots" "$1/levels/1"
  echo '{"format": 1, "db_identifier": "0102030405060708090a0b0c0d0e0f10"}' >"$1/metadata.json"
  cp "$golden/merge-snapshot-40.sqlite.zst" "$1/snapshots/20231114_221320-00000000000000000040.sqlite.zst"
  cp "$golden/$2" "$1/levels/1/00000000000000000041-00000000000000000044.wal.zst"
}
for kind in bundle squashed; do
  cp state40.db $kind.db
  zstd -qdc "$golden/merge-41-44-$kind.wal.zst" >$kind.db-wal
  [ "$(sql $kind.db 'PRAGMA wal_checkpoint(TRUNCATE)' | cut -d '|' -f 1)" = 0 ]
  cmp $kind.db state44.db
  replica_with replica-$kind merge-41-44-$kind.wal.zst
  expect 0 "$CAIRN" verify --deep replica-$kind
  expect 0 "$CAIRN" restore replica-$kind -o restored-$kind.db
  cmp restored-$kind.db state44.db
  [ "$(newest_sequence replica-$kind)" = 44 ]
done

for n in 41 42 43; do
  expect 0 "$CAIRN" restore replica-bundle -o bundle$n.db --sequence $n
  cmp bundle$n.db state$n.db
  expect 3 "$CAIRN" restore replica-squashed -o squashed$n.db --sequence $n
  says 'no restore point of its own any more'
  [ ! -e squashed$n.db ]
done
# Run 42 was published a second after 41: half a second later it is the newest.
expect 0 "$CAIRN" restore replica-bundle -o at.db --at 2023-11-14T22:13:21.500Z
cmp at.db state42.db
expect 0 "$CAIRN" restore replica-bundle -o at.db --onto --sequence 44
cmp at.db state44.db
