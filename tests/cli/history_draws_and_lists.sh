#!/usr/bin/env bash
# A picture and a table; --json says the same, and what a restore then really takes.
. "$(dirname "$0")/common.sh"

make_db app.db
once app.db --to replica
for n in 1 2 3 4 5; do
  add_rows app.db 20
  once app.db --to replica
  sleep 0.01  # states of one millisecond would be no line of time
done
expect 0 snapshot app.db --to replica
add_rows app.db 20
once app.db --to replica

export LC_ALL=C
expect 0 "$CAIRN" history replica
grep -q '^states  *|' "$out"
grep -q '^snapshots .*| 2 objects, ' "$out"
grep -q '^level 0 .*| 6 objects, ' "$out"
[ "$(grep -cE '^ *[0-6]  20' "$out")" = 7 ]
! LC_ALL=C grep -q -P '[^\x0a\x20-\x7e]' "$out"  # no colours, no blocks
expect 0 "$CAIRN" history replica --limit 2
[ "$(grep -cE '^ *[0-6]  20' "$out")" = 2 ]
grep -q '^5 states older than these' "$out"
if locale -a 2>/dev/null | grep -qi '^C.utf-\?8$'; then
  LC_ALL=C.UTF-8 "$CAIRN" history replica >"$out"
  grep -q '█' "$out"
fi

# What is said of a restore is what it does.
expect 0 "$CAIRN" history replica --json
cp "$out" history.json
for sequence in 0 3 5 6; do
  rm -f restored.db
  expect 0 "$CAIRN" restore replica --sequence $sequence -o restored.db --json
  python3 - $sequence "$out" <<'END'
import json, sys
history = json.load(open("history.json"))
point, = [p for p in history["restore_points"] if p["sequence"] == int(sys.argv[1])]
restore = json.load(open(sys.argv[2]))
assert point["restore_objects"] == len(restore["objects"]), (point, restore)
beside = restore["requests"] - point["restore_requests"]  # lists, and of the newest a look for what follows it
assert 2 <= beside <= 3, (point, restore)
assert restore["fetched_bytes"] <= point["restore_bytes"], (point, restore)
assert [(l["level"], l["objects"]) for l in history["levels"]] == [(None, 2), (0, 6)], history["levels"]
END
done

# Times.
time_of() { python3 -c 'import json, sys; print(json.load(open("history.json"))["restore_points"][int(sys.argv[1])]["time"])' "$1"; }
expect 0 "$CAIRN" history replica --json --since "$(time_of 2)" --until "$(time_of 4)"
python3 -c 'import json, sys; assert [p["sequence"] for p in json.load(sys.stdin)["restore_points"]] == [2, 3, 4]' <"$out"
expect 2 "$CAIRN" history replica --since yesterday
says '--since'
