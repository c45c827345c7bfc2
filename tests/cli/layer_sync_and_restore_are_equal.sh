#!/usr/bin/env bash
# Every kind of file and every attribute comes back, after a full sync and after increments.
. "$(dirname "$0")/layer_common.sh"
needs_root
needs getfattr setfacl

make_tree tree
expect 0 sync_to store tree
expect 0 restore_to store one
same_tree tree one

echo more >>tree/x/y/lines
rm -r tree/x/noise 'tree/a b' tree/empty
setfattr -x user.empty tree/x/nothing
setfattr -n user.text -v other tree/x/nothing
chown 9:9 tree/x/pipe
rm tree/x/loop && mkdir tree/x/loop && echo inside >tree/x/loop/file   # a link becomes a directory
rm -r tree/etc/conf.d && echo flat >tree/etc/conf.d                    # and a directory a file
ln tree/etc/secret tree/x/secret
touch -d '2004-01-01' tree/x/y
expect 0 sync_to store tree
expect 0 restore_to store two
same_tree tree two
expect 0 restore_to store again --sequence 1
same_tree one again
expect 0 layer verify store
# One that nobody has touched: the restored one is what the next sync goes on from.
expect 0 layer sync two --to store --name web --state-dir other-state
grep -q 'nothing has changed' "$out"
