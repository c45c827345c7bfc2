#!/usr/bin/env bash
# A file of 10 GiB that is nearly all holes: it comes back with its holes, and takes next to nothing in the store.
. "$(dirname "$0")/layer_common.sh"

mkdir tree
truncate -s 10G tree/sparse
for at in 1 4095 5000 10239; do printf "at $at" | dd of=tree/sparse bs=1M seek=$at conv=notrunc status=none; done
data_of() {  # data_of <file>: where it has data, and what
  python3 - "$1" <<'PYTHON'
import hashlib, os, sys
fd, at = os.open(sys.argv[1], os.O_RDONLY), 0
print(os.fstat(fd).st_size)
while True:
    try:
        begin = os.lseek(fd, at, os.SEEK_DATA)
    except OSError:
        break
    at = os.lseek(fd, begin, os.SEEK_HOLE)
    print(begin, at, hashlib.sha256(os.pread(fd, at - begin, begin)).hexdigest())
PYTHON
}
data_of tree/sparse >before
[ "$(stat -c %b tree/sparse)" -lt 1000 ] || skip 'this file system has no holes'
expect 0 sync_to store tree --json
[ "$(json_of 'j["sync"]["compressed_size_bytes"] < 2000000 and j["sync"]["size_bytes"] > 10 * 2**30')" = True ]
[ "$(json_of 'j["sent_bytes"] == j["sync"]["compressed_size_bytes"]')" = True ]
expect 0 restore_to store restored
data_of restored/sparse >after
diff before after

# The digest is that of the tar, as other tools unpack it: of one that they are done with soon.
mkdir smaller
truncate -s 200M smaller/sparse
for at in 1 150; do printf "at $at" | dd of=smaller/sparse bs=1M seek=$at conv=notrunc status=none; done
expect 0 sync_to smaller-store smaller
object=$(first_object smaller-store '*.tar.zst')
[ "$(zstd -dc "$object" | python3 -c '
import hashlib, sys
tar = hashlib.sha256()
while block := sys.stdin.buffer.read(1 << 20): tar.update(block)
print(tar.hexdigest())')" = "$(basename "$object" .tar.zst)" ] || fail 'the digest is another one'
