#!/usr/bin/env bash
# The README's first command, but for the building: both of its forms end well, and what they say they restored is that.
. "$(dirname "$0")/common.sh"

quickstart=$(realpath "$(dirname "$0")/../../quickstart")
export TMPDIR=$dir
ORDERS=100 expect 0 "$quickstart"
grep -q 'byte for byte the same file' "$out"
grep -q 'the newest has 20100' "$out"
store=$(echo "$dir"/cairn-quickstart.*/backup)
expect 0 "$CAIRN" restore "$store" -o again.db
[ "$(sql again.db 'SELECT count(*) FROM orders')" = 20100 ]

# Of a database of one's own it keeps its state where the command does by itself: here, not there.
cat >with-state-here <<END
#!/usr/bin/env bash
[ "\$1" != replicate ] || set -- "\$@" --state-dir '$dir/state'
exec '$CAIRN' "\$@"
END
chmod +x with-state-here
make_db mine.db
CAIRN=$dir/with-state-here expect 0 "$quickstart" mine.db
grep -q 'the same content' "$out"
[ -n "$(first_object mine.db-cairn '*.sqlite.zst')" ]
! "$quickstart" missing.db 2>"$err"
grep -q 'there is no file' "$err"
