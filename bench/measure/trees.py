"""Trees of files to sync: taken from this machine's own, so that they are like what containers hold."""
import os
import random
import shutil
import stat

FROM = ["/usr/lib", "/usr/share", "/usr/include", "/usr/bin"]


def make_tree(path, files, megabytes):
    """Copies of files below FROM, in one order, until there are that many; then what is missing in size, as files that
    compress to about half. Directories, links, modes and times come along."""
    copied = size = 0
    for top in FROM:
        for folder, _, names in sorted(os.walk(top)):
            target = os.path.join(path, os.path.relpath(folder, "/"))
            for name in sorted(names):
                if copied == files:
                    break
                source = os.path.join(folder, name)
                status = os.lstat(source)
                if not (stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode)) or status.st_size > 32 << 20:
                    continue
                if size + status.st_size > megabytes * 1_000_000:
                    continue
                os.makedirs(target, exist_ok=True)
                try:
                    shutil.copy2(source, os.path.join(target, name), follow_symlinks=False)
                except (PermissionError, FileNotFoundError):
                    continue
                copied += 1
                size += 0 if stat.S_ISLNK(status.st_mode) else status.st_size
    fill(os.path.join(path, "fill"), megabytes * 1_000_000 - size)
    return copied


def fill(path, size):
    """Bytes of which every second half KiB is noise."""
    generator = random.Random(1)
    os.makedirs(path, exist_ok=True)
    number = 0
    while size > 0:
        number += 1
        piece = min(size, 8 << 20)
        with open(os.path.join(path, f"f{number}"), "wb") as file:
            for _ in range(piece // 1024):
                file.write(generator.randbytes(512) + b"some text that repeats itself. " * 16 + b"x" * 16)
        size -= piece


def files_of(path):
    found = []
    for folder, _, names in sorted(os.walk(path)):
        for name in sorted(names):
            full = os.path.join(folder, name)
            if os.path.isfile(full) and not os.path.islink(full):
                found.append(full)
    return found


def change_some(path, part, seed):
    """Appends to that part of all small files; returns how many."""
    small = [name for name in files_of(path) if os.path.getsize(name) < 1 << 20]
    chosen = random.Random(seed).sample(small, max(1, int(len(small) * part)))
    for name in chosen:
        with open(name, "ab") as file:
            file.write(f"changed {seed}\n".encode())
    return len(chosen)


def size_of(path):
    """Bytes of all files below."""
    return sum(os.lstat(os.path.join(folder, name)).st_size for folder, _, names in os.walk(path) for name in names)
