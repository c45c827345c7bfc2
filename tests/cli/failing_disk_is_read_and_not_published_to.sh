#!/usr/bin/env bash
# A store's folders cannot be synced: what lies there can be brought back, checked and looked at, but nobody takes it for
# published, since a crash of the machine may take the names away.
. "$(dirname "$0")/common.sh"
command -v strace >/dev/null || skip 'strace is not installed'
strace -f -qq -o trace true 2>"$err" || skip "strace does not work here: $(tail -n 1 "$err")"

failing() {  # failing <command>...: no folder of the store can be synced
  local folder folders=()
  while read -r folder; do folders+=(-P "$folder"); done < <(find "$dir/store" -type d)
  strace -f -qq -o trace "${folders[@]}" -e trace=fsync -e inject=fsync:error=EIO "$@"
}

make_db app.db
once app.db --to store/app
# The put of the next segment is killed between its name and the sync of that.
add_rows app.db 10
segments() { find store/app/wal -name '*.wal.zst' 2>/dev/null | wc -l; }
mkdir -p store/app/wal
for n in 1 2 3 4 5 6; do  # the first ones are those of looking what is there
  [ "$(segments)" = 0 ] || break
  status=0
  strace -f -qq -o /dev/null -P "$dir/store/app/wal" -e inject=fsync:signal=KILL:when=$n "$CAIRN" replicate app.db \
    --to store/app --once --timeout 60s --levels none --state-dir "$dir/state" 2>"$err" || status=$?
  [ "$status" = 137 ] || fail "it was not killed, but ended with $status"
done
[ "$(segments)" = 1 ] || fail 'it was never killed with the segment just named'

for command in "list store" "history store/app" "verify store/app --deep" "restore store/app -o copy.db"; do
  # shellcheck disable=SC2086
  expect 0 failing "$CAIRN" $command
  ! [ -s trace ] || fail "$command syncs folders of the store"
done
state_of app.db state.db
cmp state.db copy.db

# Whoever publishes is told.
expect 6 failing "$CAIRN" replicate app.db --to store/app --once --timeout 10s --levels none --state-dir "$dir/state"
says "syncing the folder $dir/store"
once app.db --to store/app
[ "$(segments)" = 1 ] || fail 'it was published again'

mkdir upper
echo text >upper/file
expect 0 "$CAIRN" layer sync upper --to store/layers --name web --state-dir "$dir/state"
for command in "list store/layers" "history store/layers --name web" "verify store/layers" \
  "restore store/layers --name web -o copy"; do
  # shellcheck disable=SC2086
  expect 0 failing "$CAIRN" layer $command
  ! [ -s trace ] || fail "layer $command syncs folders of the store"
done
cmp upper/file copy/file
