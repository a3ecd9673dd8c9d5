#!/usr/bin/env python3
"""Requests of a compaction from and to S3, counted in the server's own log.

Needs: moto_server (`pip install 'moto[s3,server]'`; or .venv/bin/moto_server, which tests/run installs), room in
memory for the bucket twice. The bucket's folder is only read: its objects are uploaded first, that is not counted.

    benches/s3_requests.py BUCKET_DIR [BINARY] [FLAG OF COMPACT...]
    benches/s3_requests.py /data/w7 target/release/blockyard --deduplication.replica-label=replica

Prints what was asked for, against bytes / 8 MiB + 20 an input: GETs for the bytes of all inputs, PUTs and parts
for the bytes of all new blocks. Exit 1 when either is above, or nothing was compacted.
"""
import collections
import http.client
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse

MIB = 1 << 20
PER_BYTES, PER_INPUT = 8 * MIB, 20
BUCKET = "bench"
TOP = pathlib.Path(__file__).resolve().parent.parent
# the server does not check signatures, but wants to see one
SIGNED = {"Authorization": "AWS4-HMAC-SHA256 Credential=AK/20200101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"}
LOGGED = re.compile(r'"(GET|PUT|POST|HEAD|DELETE) (\S+) HTTP/[\d.]+" (\d{3})')
COLOUR = re.compile(r"\x1b\[[\d;]*m")


class Server:
    def __init__(self, program, log):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.log = log
        with open(log, "wb") as out:
            self.process = subprocess.Popen([program, "-H", "127.0.0.1", "-p", str(self.port)], stdout=out, stderr=subprocess.STDOUT)
        for _ in range(600):
            if self.process.poll() is not None:
                sys.exit(f"s3_requests: moto_server ended at once:\n{log.read_text()}")
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.1)
        sys.exit("s3_requests: moto_server does not answer")

    def ask(self, method, path, body=None, headers=()):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        connection.request(method, path, body, {**SIGNED, **dict(headers)})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        if answer.status >= 300:
            sys.exit(f"s3_requests: {method} {path}: {answer.status} {content[:200]!r}")
        return content

    def put(self, key, path):
        with open(path, "rb") as f:
            self.ask("PUT", f"/{BUCKET}/{urllib.parse.quote(key)}", f, {"Content-Length": str(path.stat().st_size)}.items())

    def objects(self):
        """All keys and their sizes."""
        found, more = {}, ""
        while True:
            page = self.ask("GET", f"/{BUCKET}?list-type=2{more}").decode()
            for one in re.findall(r"<Contents>.*?</Contents>", page, re.S):
                found[re.search(r"<Key>(.*?)</Key>", one)[1]] = int(re.search(r"<Size>(\d+)</Size>", one)[1])
            next_page = re.search(r"<NextContinuationToken>(.*?)</NextContinuationToken>", page)
            if not next_page:
                return found
            more = "&continuation-token=" + urllib.parse.quote(next_page[1], safe="")

    def requests(self, since):
        """What the log holds behind byte `since`: (method, path, parameters) of each request."""
        with open(self.log, "rb") as f:
            f.seek(since)
            text = COLOUR.sub("", f.read().decode(errors="replace"))
        for method, target, _ in LOGGED.findall(text):
            url = urllib.parse.urlsplit(target)
            yield method, url.path, urllib.parse.parse_qs(url.query, keep_blank_values=True)


def kind(method, path, parameters):
    """One word for a request."""
    is_object = path.strip("/") != BUCKET
    if method == "GET" and not is_object:
        return "lists of uploads" if "uploads" in parameters else "lists"
    if method == "PUT" and "partNumber" in parameters:
        return "parts"
    if method == "POST":
        return "uploads begun" if "uploads" in parameters else "uploads completed" if "uploadId" in parameters else "other POSTs"
    if method == "DELETE" and "uploadId" in parameters:
        return "uploads aborted"
    return method + "s"


def block_bytes(objects, block):
    return sum(size for key, size in objects.items() if key.startswith(block + "/"))


def main():
    if len(sys.argv) < 2 or not pathlib.Path(sys.argv[1]).is_dir():
        print(__doc__)
        return 2
    folder = pathlib.Path(sys.argv[1])
    binary = sys.argv[2] if len(sys.argv) > 2 else str(TOP / "target/release/blockyard")
    flags = sys.argv[3:]
    own = TOP / ".venv/bin/moto_server"
    program = os.environ.get("BLOCKYARD_MOTO") or (str(own) if own.exists() else shutil.which("moto_server"))
    if not program:
        print("s3_requests: skipped, moto_server is not installed: pip install 'moto[s3,server]'")
        return 0
    if not os.access(binary, os.X_OK):
        print(f"s3_requests: skipped, there is no {binary}: run `cargo build --release`")
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        server = Server(program, scratch / "requests.log")
        try:
            return count(server, folder, binary, flags, scratch)
        finally:
            server.process.terminate()
            server.process.wait()


def count(server, folder, binary, flags, scratch):
    server.ask("PUT", f"/{BUCKET}")
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and not p.relative_to(folder).parts[0].startswith(".")):
        server.put(path.relative_to(folder).as_posix(), path)
    before = server.objects()
    config = scratch / "bucket.yml"
    endpoint = f"endpoint: 127.0.0.1:{server.port}, insecure: true"
    config.write_text(f"type: S3\nconfig: {{bucket: {BUCKET}, {endpoint}, access_key: AK, secret_key: SK}}\n")
    since = server.log.stat().st_size
    command = [binary, "compact", "--consistency-delay=0s", "--downsampling.disable"]
    command += [f"--data-dir={scratch / 'data'}", f"--objstore.config-file={config}", *flags]
    begun = time.monotonic()
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    seconds = time.monotonic() - begun
    asked = list(server.requests(since))
    if done.returncode:
        print(f"s3_requests: compact ended with {done.returncode}:\n{done.stdout[-2000:]}")
        return 1

    after = server.objects()
    made = {key.split("/")[0] for key in after if key.endswith("/meta.json") and key not in before}
    inputs = set()
    for block in made:
        meta = json.loads(server.ask("GET", f"/{BUCKET}/{block}/meta.json"))
        inputs |= {parent["ulid"] for parent in meta["compaction"].get("parents", [])}
    if not made:
        print("s3_requests: nothing was compacted, there is nothing to count")
        return 1
    # a block that was made and then merged again is an input too
    read = sum(block_bytes(after, block) for block in inputs)
    written = sum(block_bytes(after, block) for block in made)

    kinds = collections.Counter(kind(*request) for request in asked)
    gets = [path.split("/", 3)[2:] for method, path, _ in asked if method == "GET" and path.count("/") > 2]
    of_inputs = collections.Counter(name for block, name in gets if block in inputs)
    print(f"{len(inputs)} inputs of {read / MIB:.1f} MiB became {len(made)} blocks of {written / MIB:.1f} MiB in {seconds:.1f} s (the server is a slow one)")
    for name, n in sorted(kinds.items()):
        print(f"  {name:20} {n:6}")
    print("  GETs of inputs: " + ", ".join(f"{n} {name}" for name, n in sorted(of_inputs.items())))
    good = True
    for what, n, size in (("GETs", kinds["GETs"], read), ("PUTs and parts", kinds["PUTs"] + kinds["parts"], written)):
        bound = size / PER_BYTES + PER_INPUT * len(inputs)
        good &= n <= bound
        print(f"{what}: {n}, at most {bound:.1f} are asked for ({'ok' if n <= bound else 'MISSED'}, {n / bound:.2f} of it)")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
