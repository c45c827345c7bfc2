#!/usr/bin/env bash
# Files that grow, shrink, vanish and are rewritten all the time: the sync ends, says what it could not get whole, and what
# it does not flag is a state that the file had.
. "$(dirname "$0")/layer_common.sh"

mkdir tree
head -c 30000000 /dev/zero >tree/rewritten
echo quiet >tree/quiet
python3 - <<'END' &
import os
def churn():
    generation = 0
    with open("tree/rewritten", "r+b", buffering=0) as file:
        while not os.path.exists("enough"):
            generation += 1
            for at in range(0, 30_000_000, 1_000_000):  # of one byte all over, from the front
                os.pwrite(file.fileno(), bytes([generation % 256]) * 1_000_000, at)
            with open("tree/growing", "ab") as growing: growing.write(b"x" * 100_000)
            with open("tree/shrinking", "wb") as shrinking: shrinking.write(b"y" * (3_000_000 >> generation % 20))
            for name in range(20):
                path = f"tree/short-lived-{(generation + name) % 40}"
                if name % 2: open(path, "w").close()
                elif os.path.exists(path): os.remove(path)
churn()
END
writer=$!
pids+=("$writer")
wait_until test -s tree/growing
for round in 1 2 3; do
  expect 0 sync_to store tree --json
  flagged=$(json_of 'j["sync"]["torn_files"] if j["sync"] else 0')
  rm -rf restored
  expect 0 restore_to store restored
  diff tree/quiet restored/quiet
  [ "$flagged" != 0 ] || python3 - <<'END'
import itertools
# Not flagged: one moment of a file that is overwritten from the front has one boundary at most.
runs = [k for k, _ in itertools.groupby(open("restored/rewritten", "rb").read()[::1000])]
assert len(runs) <= 2, runs
END
done
touch enough
wait "$writer"
expect 0 layer verify store
expect 0 sync_to store tree
rm -rf restored
expect 0 restore_to store restored
diff -r tree restored
