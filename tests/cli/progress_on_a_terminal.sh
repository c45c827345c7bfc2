#!/usr/bin/env bash
# On a terminal a bar is drawn, and cleared before anything else is printed.
. "$(dirname "$0")/common.sh"
command -v script >/dev/null || skip 'script, of bsdutils, is not installed'
script --quiet --return --command true /dev/null </dev/null >"$out" 2>"$err" || skip "no terminal here: $(cat "$err")"

bar_of() {  # bar_of <label> <unit> <command>...: on a terminal of its own; what it showed is in $out
  local label=$1 unit=$2
  shift 2
  script --quiet --return --command "$(printf '%q ' "$@")" typescript </dev/null >"$out" 2>"$err"
  python3 - "$label" "$unit" "$out" <<'END_OF_PYTHON'
import re
import sys

label, unit, out = sys.argv[1:]
shown = open(out, errors="replace", newline="").read()
bar = re.compile(r"([#.]+)\] +(\d+)%  \S.* of \S.*" + unit)
clear = "\r\x1b[K"
drawn = [piece for piece in shown.split(clear) if piece.startswith(label + " [")]
if not drawn:
    sys.exit(f"no bar is drawn: {shown!r}")
parts = []
for piece in drawn:
    whole = bar.fullmatch(piece.removeprefix(label + " ["))
    if not whole:
        sys.exit(f"this is no bar, or it was not cleared: {piece!r}")
    part = int(whole[2])
    if len(whole[1]) != 30 or abs(whole[1].count("#") - part * 0.3) > 1:
        sys.exit(f"as long as that is not {part}%: {piece!r}")
    parts.append(part)
if parts != sorted(parts):
    sys.exit(f"it goes back: {parts}")
if not shown.split(clear)[-1].strip():
    sys.exit(f"nothing is said behind the bar: {shown!r}")
END_OF_PYTHON
}

make_db app.db
sql app.db 'INSERT INTO t (v) VALUES (randomblob(30000000)); PRAGMA wal_checkpoint(TRUNCATE)' >/dev/null
bar_of 'app.db: snapshot' ' pages' "$CAIRN" replicate app.db --to backup --once --timeout 60s --state-dir "$dir/state"
grep -q 'published up to sequence 0' "$out"
bar_of restoring B "$CAIRN" restore backup -o restored.db
state_of app.db state.db
cmp restored.db state.db
bar_of verifying B "$CAIRN" verify backup --deep
