#!/usr/bin/env bash
# Files named like whiteouts, names that are not UTF-8; containers with slashes, dots and bytes in their names.
. "$(dirname "$0")/layer_common.sh"

mkdir -p 'tree/.wh.d' "$(printf 'tree/\377')"
echo real >'tree/.wh.x'
echo x >tree/x
echo inside >'tree/.wh.d/.wh..wh..opq'
echo bytes >"$(printf 'tree/\377/\376\n\001')"
names=(web a/b a_b a 'b c' ../up .hidden 'dä' '100%25' "$(printf 'n%.0s' {1..200})")
for name in "${names[@]}"; do
  expect 0 layer sync tree --to store --name "$name" --state-dir state --marks kernel
done
[ "$(find store/containers -name "*.json" | wc -l)" = ${#names[@]} ]
[ "$(ls -A | grep -c '^up')" = 0 ]
for name in "${names[@]}"; do
  rm -rf restored
  expect 0 layer restore store --name "$name" -o restored
  diff -r tree restored
done
# Removed again, it is a deletion of the right name.
rm 'tree/.wh.x'
expect 0 layer sync tree --to store --name web --state-dir state --marks kernel
rm -rf restored
expect 0 layer restore store --name web -o restored
diff -r tree restored
[ -e restored/x ]
expect 2 layer sync tree --to store --name '' --state-dir state
expect 2 layer sync tree --to store --name "$(printf 'not \377 UTF-8')" --state-dir state
