"""A gate before an S3 server: of an upload's parts it lets so many through and holds the others, until it is opened.

    python3 gate.py http://127.0.0.1:PORT PARTS PORT_FILE OPEN_FILE >PARTS_THAT_PASSED

Whoever uploads through it is in the middle of the upload for as long as a test wants it there, on a machine of any
speed. The gate is open once OPEN_FILE exists; what was held until then is never passed on. Bytes go through as they
are, and so signatures hold.
"""
import os
import re
import socket
import sys
import threading
from urllib.parse import urlsplit

server = urlsplit(sys.argv[1])
parts_left, port_file, open_file = int(sys.argv[2]), sys.argv[3], sys.argv[4]
lock = threading.Lock()


def hold_unless_it_may_pass(head):
    global parts_left
    part = re.match(rb"PUT [^ ]*[?&]partNumber=(\d+)", head)
    if not part or b"/.cairn-probe?" in part[0]:  # which is how a store is learned
        return
    if re.search(rb"\r\nx-amz-copy-source:", head, re.IGNORECASE):  # nothing is sent
        return
    with lock:
        parts_left -= 1
        held = parts_left < 0 and not os.path.exists(open_file)
        if not held:
            print(int(part[1]), flush=True)
    if held:
        threading.Event().wait()


def answers(upstream, client):
    try:
        while block := upstream.recv(1 << 16):
            client.sendall(block)
        client.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # one of them is gone, and the other side sees it too


def requests(client):
    upstream = socket.create_connection((server.hostname, server.port))
    threading.Thread(target=answers, args=(upstream, client), daemon=True).start()
    try:
        seen = b""
        while True:
            while b"\r\n\r\n" not in seen:
                block = client.recv(1 << 16)
                if not block:
                    return
                seen += block
            head, _, seen = seen.partition(b"\r\n\r\n")
            hold_unless_it_may_pass(head)
            upstream.sendall(head + b"\r\n\r\n")
            length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
            left = int(length[1]) if length else 0
            while left > 0:
                seen = seen or client.recv(1 << 16)
                if not seen:
                    return
                body, seen = seen[:left], seen[left:]
                upstream.sendall(body)
                left -= len(body)
    except OSError:
        pass
    finally:
        # A body that breaks off must not look whole; what was asked before may still be answered.
        try:
            upstream.shutdown(socket.SHUT_WR)
        except OSError:
            pass


with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
    with open(port_file + ".new", "w") as file:
        file.write(str(listener.getsockname()[1]))
    os.rename(port_file + ".new", port_file)
    while True:
        threading.Thread(target=requests, args=(listener.accept()[0],), daemon=True).start()
