"""Whether a directory store's names outlive a power loss, from a trace that strace has written (-f -y -s 0).

    python3 names_are_synced.py TRACE STORE CURRENT_DIRECTORY LEAST

Each file is synced after it was last written and before it gets its name below STORE; the folder of the name is synced
after it; what folders above it are called is synced before it. At least so many names have to have been given.
"""
import os
import re
import sys

trace, root, base, least = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])

# (begun, ended, call, arguments) of each call that succeeded: a thread's call that others overtake is in two lines.
events, halves = [], {}
for at, line in enumerate(open(trace, errors="replace")):
    pid, text = line.rstrip("\n").split(maxsplit=1)
    begun = at
    if text.endswith("<unfinished ...>"):
        halves[pid] = (at, text[:-len("<unfinished ...>")])
        continue
    if resumed := re.match(r"<\.\.\. \w+ resumed>", text):
        begun, first = halves.pop(pid)
        text = first + text[resumed.end():]
    if call := re.match(r"(\w+)\((.*)\)\s+= \d", text):
        events.append((begun, at, call[1], call[2]))

def opened(arguments):  # the files of descriptors among the arguments
    return re.findall(r"\d<(/[^>]*)>", arguments)

def named(arguments):  # the paths among them; some are below a folder that is open
    found = re.findall(r'(?:\b\d+<([^>]*)>, )?"([^"]*)"', arguments)
    return [os.path.normpath(os.path.join(base, folder, path)) for folder, path in found]

syncs = [(begun, ended, opened(rest)[0]) for begun, ended, call, rest in events if call in ("fsync", "fdatasync")]
writes = [(ended, opened(rest)[-1]) for _, ended, call, rest in events
          if re.match("p?write|copy_file_range|utimensat", call) and opened(rest)]
made = {named(rest)[0]: ended for _, ended, call, rest in events if call.startswith("mkdir")}
names = [(begun, ended, call.startswith("link") or "RENAME_NOREPLACE" in rest, *named(rest))
         for begun, ended, call, rest in events if re.match("link|rename", call)]

def synced(path, after=-1, before=sys.maxsize):
    return any(begun > after and ended < before for begun, ended, what in syncs if what == path)

count, mistakes = 0, []
for begun, ended, leaves_what_is_there, source, target in names:
    if not target.startswith(root + "/") or target.startswith(root + "/.cairn-uploads/"):
        continue
    count += 1
    if not leaves_what_is_there and not target.endswith("/metadata.json"):
        mistakes.append(f"{target} got its name by a call that replaces")
    last_write = max((at for at, what in writes if what == source and at < begun), default=None)
    if last_write is None:
        mistakes.append(f"{target}: nothing was written to {source}")
    elif not synced(source, last_write, begun):
        mistakes.append(f"{target} got its name before it was synced")
    if not synced(os.path.dirname(target), ended):
        mistakes.append(f"the folder of {target} was not synced after it")
    folder = os.path.dirname(target)
    while folder != base:
        is_ours = folder.startswith(root) or folder in made
        if is_ours and not synced(os.path.dirname(folder), made.get(folder, -1), begun):
            mistakes.append(f"{folder} could be lost: its name was not synced before {target} got its own")
        folder = os.path.dirname(folder)
if count < least:
    mistakes.append(f"only {count} names were given: {[target for *_, target in names]}")
sys.exit("\n".join(sorted(set(mistakes))) or 0)
