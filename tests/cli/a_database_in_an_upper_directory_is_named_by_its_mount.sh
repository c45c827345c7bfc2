#!/usr/bin/env bash
# Who uses a database through an overlay mount has locks on the mount's inodes. Followed in the upper directory it would
# be taken for one that nobody uses; followed through the mount it is one like any other.
. "$(dirname "$0")/common.sh"

[ "$(id -u)" = 0 ] || skip 'only root can mount an overlay'
mkdir lower upper work merged
tidy_more() { umount "$dir/merged" 2>/dev/null || true; }
mount -t overlay -o "lowerdir=$dir/lower,upperdir=$dir/upper,workdir=$dir/work" overlay merged 2>/dev/null ||
  skip 'no overlay can be mounted here'
make_db merged/app.db
before=$(cksum upper/app.db*)
expect 2 replicate upper/app.db --to backup --once
says "Name it as $dir/merged/app.db"
[ "$(cksum upper/app.db*)" = "$before" ] || fail 'the database was touched'
once merged/app.db --to backup
restores_to_state_of backup merged/app.db
# However the directory was named when it was mounted.
umount merged
ln -s "$dir" link
mount -t overlay -o "lowerdir=$dir/lower,upperdir=$dir/link/upper,workdir=$dir/work" overlay merged
expect 2 replicate upper/app.db --to elsewhere --once
says "Name it as $dir/merged/app.db"
umount merged
mount -t overlay -o "lowerdir=lower,upperdir=upper,workdir=work" overlay merged
expect 2 replicate "$dir/upper/app.db" --to elsewhere --once
says "Name it as $dir/merged/app.db"
[ ! -e elsewhere ] || fail 'a replica was begun'
# Nobody has it mounted: it is a database in a directory.
umount merged
once upper/app.db --to backup
