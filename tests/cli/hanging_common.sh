# A mount at ./mount that hangs while its server, $fuse_pid, is stopped. Skips without one.
. "$(dirname "$0")/common.sh"
[ "$(id -u)" = 0 ] || skip 'only root may mount and see where a thread waits'
for tool in fuse-overlayfs fusermount3; do command -v "$tool" >/dev/null || skip "there is no $tool"; done
[ -c /dev/fuse ] || skip 'there is no /dev/fuse'
fuse_pid=
tidy_more() {
  [ -z "$fuse_pid" ] || kill -CONT "$fuse_pid" 2>/dev/null || true
  fusermount3 -u -z "$dir/mount" 2>/dev/null || true
}
mkdir lower upper work mount
# Nothing is remembered of a name, so that whoever looks it up asks.
fuse-overlayfs -f -o "lowerdir=lower,upperdir=upper,workdir=work,timeout=0" mount >fuse.log 2>&1 &
fuse_pid=$!
pids+=("$fuse_pid")
is_mounted() { grep -q " $dir/mount " /proc/self/mountinfo; }
for ((i = 0; i < 100; i++)); do
  ! is_mounted || break
  kill -0 "$fuse_pid" 2>/dev/null || skip "fuse-overlayfs is not to be had here: $(cat fuse.log)"
  sleep 0.05
done
is_mounted || skip "fuse-overlayfs does not mount here: $(cat fuse.log)"
