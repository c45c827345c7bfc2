#!/usr/bin/env bash
# Mistakes and things in the way: one sentence and the right exit status each.
. "$(dirname "$0")/layer_common.sh"

mkdir tree
echo x >tree/file
expect 2 layer sync
expect 2 layer sync tree --to store
says --name
expect 2 layer syn tree
says "did you mean 'sync'"
expect 2 sync_to store nowhere
expect 2 sync_to store tree/file
expect 2 sync_to store tree --part-size much
expect 2 sync_to store tree --uploads 0
expect 2 sync_to store tree --marks docker
expect 2 layer watch tree --to store --name web --state-dir state --interval soon
expect 3 layer list store
expect 3 layer history store --name web
expect 3 layer verify store
expect 3 restore_to store target
expect 0 sync_to store tree
expect 2 layer restore store --name web
says '-o DIR'
expect 2 restore_to store target --lower tree
expect 2 restore_to store target --at yesterday
expect 0 restore_to store target
expect 4 restore_to store target
expect 0 restore_to store target --overwrite
: >a_file
expect 6 layer sync tree --to "file://$dir/a_file/x" --name web --state-dir other
# Nothing has changed: not a failure, so nothing is said on standard error, and its own status.
wait_until eval '! layer check tree --to store --name web --state-dir state'
layer check tree --to store --name web --state-dir state >"$out" 2>"$err" && fail 'nothing had changed' || [ $? = 3 ]
[ ! -s "$err" ]
echo y >tree/file
expect 0 layer check tree --to store --name web --state-dir state
for command in sync check watch restore list history verify prune; do
  expect 0 layer $command --help
  grep -q -i "usage: cairn layer $command" "$out"
done
expect 0 layer

# A directory that holds its store, or the state, would store itself; and nothing is made there to find that out.
mkdir -p around/inner beside/deep
echo x >around/inner/file
ln -s "$dir/around" link
names_in() { find "$dir/around" "$dir/beside" | sort; }
names_in >names
for url in "$dir/around/store" "$dir/around" "file://$dir/link/a/b"; do
  expect 2 layer sync around --to "$url" --name web --state-dir other
  says 'around cannot be synced: it holds its own store'
done
expect 2 layer sync around --to other-store --name web --state-dir link/state
says "it holds Cairn's state of it"
expect 2 layer check around --to other-store --name web --state-dir around
expect 2 layer watch around --to other-store --name web --state-dir other --staging-dir around/inner
expect 2 layer sync around/inner --to around --name web --state-dir other
says 'it lies in its own store'
printf '[defaults]\nstate_dir = "%s/other"\n[[layer]]\nname = "web"\ndirectory = "%s/around"\nto = "%s/around/s"\n' \
  "$dir" "$dir" "$dir" >cairn.toml
expect 2 "$CAIRN" config check cairn.toml
says 'cairn.toml:3: '
says 'it holds its own store'
expect 2 "$CAIRN" replicate --config cairn.toml
sed -i 's,^state_dir.*,state_dir = "'"$dir"'/around/state",; s,^to.*,to = "'"$dir"'/other-store",' cairn.toml
expect 2 "$CAIRN" config check cairn.toml
says "it holds Cairn's state of it"
names_in | diff names -
[ ! -e other-store ]
