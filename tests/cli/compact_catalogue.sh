#!/usr/bin/env bash
# The catalogue: monitor, list, analyse, sync, path, unmonitor; it is a cache, so that losing it loses nothing; one that is
# damaged is refused with what to do; and a database of somebody else's is not taken for one.
. "$(dirname "$0")/common.sh"

json() { python3 -c 'import json, sys; j = json.loads(open(sys.argv[1]).readline()); print(eval(sys.argv[2]))' "$out" "$1"; }
compact() { "$CAIRN" compact "$@" --catalogue "$dir/catalogue.db"; }

for name in a b; do
  make_db $name.db
  once $name.db --to replica-$name
  for n in 1 2 3; do
    add_rows $name.db 2
    once $name.db --to replica-$name
  done
done
expect 3 compact list
says 'cairn compact monitor'
expect 3 compact monitor "$dir/nowhere"
expect 0 compact monitor replica-a replica-b
[ "$(grep -c '4 objects known, 4 of them new' "$out")" = 2 ]
expect 0 compact list
[ "$(grep -c "file://$dir/replica-[ab]" "$out")" = 2 ]
expect 0 compact list ./replica-a --json
[ "$(json '[o["kind"] for o in j["objects"]], j["objects"][-1]["last_sequence"]')" = "(['snapshot', 'segment', 'segment', 'segment'], 3)" ]

add_rows a.db 2
once a.db --to replica-a
expect 0 compact analyse replica-a --no-sync --json
[ "$(json 'j["last_sequence"], j["restore_points"], j["lines"]')" = '(3, 4, 1)' ]
expect 0 compact analyse replica-a --json
[ "$(json 'j["last_sequence"], j["restore_points"], len(j["shortest_restore_path"]["objects"])')" = '(4, 5, 5)' ]
expect 0 compact path replica-a --sequence 2 --json
[ "$(json '[o["last_sequence"] for o in j["objects"]], j["requests"]')" = '([0, 1, 2], 3)' ]
expect 0 compact path replica-a --at 2100-01-01
grep -q 'sequence 4 takes 5 objects' "$out"
expect 3 compact path replica-a --sequence 9
expect 0 compact sync --full --json
[ "$(wc -l <"$out")" = 2 ]

expect 0 compact --all --strategy identity --json
[ "$(python3 -c 'import sys, json; print([len(json.loads(l)["merged"]) for l in open(sys.argv[1])])' "$out")" = '[1, 1]' ]
expect 0 compact unmonitor replica-b
expect 3 compact unmonitor replica-b
expect 3 compact sync replica-b
expect 0 "$CAIRN" verify replica-b

# One replica that is away keeps no other from being synced.
mv replica-a elsewhere
expect 0 compact monitor replica-b
compact sync >"$out" 2>"$err" && fail 'a replica is away' || [ $? = 3 ]
grep -q 'replica-b: 5 objects known' "$out"
mv elsewhere replica-a

# Lost: everything is found out again.
expect 0 compact list replica-a --json
cp "$out" known
rm "$dir"/catalogue.db*
expect 0 compact monitor replica-a
expect 0 compact list replica-a --json
cmp "$out" known

# Damaged: refused, with what to do; and that helps.
python3 - "$dir/catalogue.db" <<'END'
import sys
with open(sys.argv[1], "r+b") as file:
    file.seek(4096)
    file.write(b"\x5a" * 8000)
END
expect 5 compact list
says 'is damaged'
says 'remove it'
rm "$dir"/catalogue.db*
expect 0 compact monitor replica-a

# Somebody's database is no catalogue, and is not written to.
state_of a.db theirs.db
sha256sum theirs.db >sum
expect 2 "$CAIRN" compact list --catalogue theirs.db
says 'another program'
sha256sum -c --quiet sum
