#!/usr/bin/env bash
# What the README says about reading a replica with zstd and sqlite3 alone, run as it stands there: also when segments
# have been merged, and are in wal/ no more; when one is missing; and when a clock was set back between two snapshots.
readme=$(cd "$(dirname "$0")/../.." && pwd)/README.md
. "$(dirname "$0")/common.sh"

awk '/^## / { here = ($0 == "## Reading a replica without Cairn") }
     here && /^```/ { inside = !inside; next }
     here && inside' "$readme" >by-hand.sh
grep -q '^replica=/backup/my.db$' by-hand.sh
sed -i "s|^replica=.*|replica=$dir/backup|" by-hand.sh
by_hand() {
  rm -f copy.db copy.db-wal copy.db-shm
  bash -eu by-hand.sh 2>"$err"
}
reads_the_state() {
  by_hand
  [ ! -s "$err" ] || fail 'it complains'
  state_of app.db state.db
  cmp copy.db state.db
}
publish() {  # publish <how often>
  for ((i = 1; i <= $1; i++)); do
    add_rows app.db 50
    [ $i != 6 ] || sql app.db 'DELETE FROM t WHERE id % 3; VACUUM'
    once app.db --to backup
  done
}

make_db app.db
once app.db --to backup
publish 12
reads_the_state

merge() { expect 0 "$CAIRN" compact --catalogue "$dir/catalogue/catalogue.db" backup --fan 4 --grace 0; }
for ((times = 0; times < 4; times++)); do merge; done  # the sources of one go with the next
[ ! -e backup/wal/00000000000000000003.wal.zst ] || fail 'what was merged has not gone'
reads_the_state
publish 2
reads_the_state

mv backup/wal/00000000000000000013.wal.zst aside
by_hand
says 'something is missing behind'
mv aside backup/wal/00000000000000000013.wal.zst

# The newest snapshot says that it is the oldest, and what led to it is gone.
expect 0 snapshot app.db --to backup
newest=$(cd backup/snapshots && ls ./*.sqlite.zst | sort -t - -k 2 | tail -n 1)
mv "backup/snapshots/$newest" "backup/snapshots/20010101_000000-${newest#*-}"
rm -r backup/wal backup/levels
reads_the_state
