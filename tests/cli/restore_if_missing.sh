#!/usr/bin/env bash
# A database that is missing is the replica's newest state before the program starts; one that exists is never touched.
. "$(dirname "$0")/common.sh"
run() { replicate app.db --to "$dir/backup" --restore-if-missing --timeout 60s "$@" >>"$log" 2>"$err"; }
snapshots() { find backup -name '*.sqlite.zst' | wc -l; }

# No replica yet: nothing to restore, and the program makes the database.
expect 0 run --exec 'sqlite3 app.db "PRAGMA journal_mode=wal; CREATE TABLE t(id INTEGER PRIMARY KEY, v)" >made'
add_rows app.db 50
expect 0 run --exec true
[ "$(snapshots)" = 1 ]

# Gone, with its local state and without; a WAL of another database lies there. The program finds all of it, and what it
# adds goes on in the same history, without a second snapshot.
state_of app.db before.db
make_db other.db
for what in app.db 'app.db state'; do
  sqlite3 other.db "PRAGMA wal_autocheckpoint = 0; UPDATE t SET v = 'stale' || random()" '.shell rm -rf '"$what"' app.db-wal app.db-shm; cp other.db-wal app.db-wal' >/dev/null
  [ -s app.db-wal ]
  expect 0 run --exec 'sqlite3 app.db "SELECT count(*) FROM t WHERE v NOT GLOB \"stale*\"" >seen && sqlite3 app.db "INSERT INTO t(v) VALUES (1)"'
  [ "$(cat seen)" -ge 50 ]
  says 'it was missing, and is the newest state of'
done
[ "$(count app.db)" = 52 ]
[ "$(stat -c %a app.db)" = 600 ]
[ "$(snapshots)" = 1 ]
restores_to_state_of backup app.db

# It exists: not touched, and what differs is refused as ever, not overwritten.
before=$(stat -c %i app.db)
expect 0 run --exec true
[ "$(stat -c %i app.db)" = "$before" ]
! grep -q 'it was missing' "$err"

# An empty file is not missing: somebody may have it open.
cp app.db kept.db
rm -f app.db app.db-wal app.db-shm
: >app.db
expect 4 run --exec 'touch started'
says 'is an empty file'
[ ! -s app.db ] && [ ! -e started ]

# Damaged: nothing starts, and it says what to do.
rm app.db
cp -a backup whole
find backup/wal backup/snapshots -type f | while read -r object; do
  printf 'damage' | dd of="$object" bs=1 seek=40 conv=notrunc status=none
done
expect 5 run --exec 'touch started'
says 'cairn verify'
[ ! -e app.db ] && [ ! -e started ]
rm -rf backup/snapshots
expect 5 run --exec 'touch started'
says 'has segments and no snapshot'
[ ! -e started ]
rm -rf backup && mv whole backup

# cairn restore --if-missing, for scripts.
expect 3 "$CAIRN" restore "$dir/nothing" -o app.db --if-missing
expect 0 "$CAIRN" restore backup -o app.db --if-missing
cmp app.db restored.db
echo changed >app.db
expect 0 "$CAIRN" restore backup -o app.db --if-missing
[ "$(cat app.db)" = changed ]

# Several at once: one file, whole, and nothing left lying about. Who was too late finds a database, or is told that it is there.
rm -f app.db app.db-wal app.db-shm
before=$(ls -A | sort)
racing=()
for ((i = 0; i < 4; i++)); do
  "$CAIRN" restore backup -o app.db --if-missing >"race.$i" 2>&1 &
  racing+=($!)
done
won=0
for pid in "${racing[@]}"; do
  status=0
  wait "$pid" || status=$?
  case $status in 0) won=$((won + 1)) ;; 1 | 4) ;; *) fail "a restore among others ended with status $status" ;; esac
done
[ $won -ge 1 ]
rm -f race.?
[ "$(ls -A | sort)" = "$(printf '%s\napp.db' "$before" | sort)" ]
restores_to_state_of backup app.db
