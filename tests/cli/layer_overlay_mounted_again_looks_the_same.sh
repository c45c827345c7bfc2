#!/usr/bin/env bash
# The upper directory of a real overlay mount: restored and mounted again, the container sees what it saw.
. "$(dirname "$0")/layer_common.sh"
needs_root
needs getfattr
mkdir base upper work merged
tidy_more() { umount "$dir/merged" 2>/dev/null || true; umount "$dir/again" 2>/dev/null || true; }
mkdir -p base/etc base/usr/lib base/var/log
for name in etc/a etc/b usr/lib/one usr/lib/two var/log/x var/log/y; do echo "of the image: $name" >"base/$name"; done
mount_over() { mount -t overlay overlay -o "lowerdir=base,upperdir=$1,workdir=$2" "$3" 2>"$err"; }
mount_over upper work merged || skip "overlayfs is not to be had here: $(cat "$err")"

looks_the_same() {  # after a sync and a restore
  expect 0 sync_to store upper
  rm -rf restored again-work
  mkdir -p again again-work
  expect 0 restore_to store restored
  mount_over restored again-work again
  same_tree merged again
  umount again
}
echo new >merged/etc/new
echo changed >>merged/etc/a
rm merged/etc/b
looks_the_same
rm -r merged/usr/lib && mkdir merged/usr/lib && echo fresh >merged/usr/lib/three   # opaque
rm -r merged/var
looks_the_same
mkdir merged/var && echo back >merged/var/back    # opaque, where a whiteout was
echo 'b is back' >merged/etc/b
rm merged/usr/lib/three
looks_the_same
rm merged/etc/new          # a name that only the upper directory had: it leaves no mark
chmod 700 merged/usr
looks_the_same
expect 0 layer verify store

# What the container saw, without any mount.
expect 0 restore_to store flat --as merged --lower base
same_tree merged flat
