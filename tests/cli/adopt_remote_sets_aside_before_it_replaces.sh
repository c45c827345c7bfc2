#!/usr/bin/env bash
# What an adoption sets aside has its names on the disk before the database is replaced: a power loss in between brings
# back neither the state that was put aside nor a database whose old contents have no name.
. "$(dirname "$0")/common.sh"
command -v strace >/dev/null || skip 'strace is not installed'
strace -f -qq -o trace true 2>"$err" || skip "strace does not work here: $(tail -n 1 "$err")"

make_db app.db
once app.db --to backup
sqlite3 app.db 'DELETE FROM t' >/dev/null
rm -rf state
expect 0 strace -f -y -qq -o trace -e trace=link,linkat,rename,renameat,renameat2,fsync "$CAIRN" replicate app.db \
  --to backup --once --adopt remote --state-dir "$dir/state"
python3 - trace "$dir" <<'END'
import re
import sys

trace, folder = open(sys.argv[1]).read().splitlines(), re.escape(sys.argv[2])
steps = [r'link.*app\.db\.before-adopt-[^"/]*"', rf'fsync\(\d+<{folder}>\) *= 0',
         r'rename.*state/.*before-adopt-', rf'fsync\(\d+<{folder}/state>\) *= 0',
         r'rename.*app\.db\.cairn-.*app\.db"']
at = 0
for step in steps:
    while at < len(trace) and not re.search(step, trace[at]):
        # The last step is not to come before those that are still due.
        assert step == steps[-1] or not re.search(steps[-1], trace[at]), f'{step} comes too late'
        at += 1
    assert at < len(trace), f'there is no {step}'
END
