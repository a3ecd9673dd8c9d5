#!/usr/bin/env python3
"""Planning a bucket of 100 000 blocks: CPU, wall time and memory of `tools bucket plan`, whose listing comes in pages of 1000.

The bucket is a server of this script that speaks as much S3 as is needed: pages of a listing, small objects. Blocks have four
objects each and no samples behind them: only metas are read, and the sizes are in the listing. A first pass that plans nothing
keeps the metas in a data folder, as a compactor does; then the plan is made, several times.

    benches/huge_bucket.py [--bin BINARY] [--blocks N] [--groups N] [--runs N]

Needs a release build. Exit 1 if a run fails, or a block is missing.
"""
import argparse
import http.server
import json
import os
import pathlib
import socketserver
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

TOP = pathlib.Path(__file__).resolve().parent.parent
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
HOUR = 3_600_000
BEGIN = 1460 * 14 * 24 * HOUR
OBJECTS = [("chunks/000001", 300_000_000), ("chunks/000002", 90_000_000), ("index", 40_000_000), ("meta.json", None)]
PAGE = 1000


def ulid(millis, number):
    value = (millis << 80) | number
    return "".join(CROCKFORD[(value >> (5 * (25 - n))) & 31] for n in range(26))


def bucket(blocks, groups):
    """Metas by key, and pages of the listing by the key that they begin behind."""
    metas, keys = {}, []
    for number in range(blocks):
        window, group = divmod(number, groups)
        start = BEGIN + 2 * HOUR * window
        block = ulid(start + 2 * HOUR, number + 1)
        meta = json.dumps({
            "ulid": block, "minTime": start, "maxTime": start + 2 * HOUR, "version": 1,
            "stats": {"numSamples": 120_000_000, "numSeries": 500_000, "numChunks": 1_000_000},
            "compaction": {"level": 1, "sources": [block]},
            "thanos": {"version": 1, "labels": {"cluster": f"c{group}", "region": f"eu{group % 7}"}, "downsample": {"resolution": 0},
                       "source": "sidecar", "files": [{"rel_path": "chunks/000001", "size_bytes": 300_000_000}, {"rel_path": "chunks/000002", "size_bytes": 90_000_000},
                                                      {"rel_path": "index", "size_bytes": 40_000_000}, {"rel_path": "meta.json"}]},
        }, indent="\t").encode()
        metas[f"{block}/meta.json"] = meta
        keys += [(f"{block}/{name}", size or len(meta)) for name, size in OBJECTS]
    keys.sort()
    return metas, keys


def serve(metas, keys):
    names = [key for key, _ in keys]

    def page(start, delimiter):
        if delimiter:
            folders = sorted({key.split("/")[0] for key in names})
            chosen, more = folders[start:start + PAGE], start + PAGE < len(folders)
            content = "".join(f"<CommonPrefixes><Prefix>{f}/</Prefix></CommonPrefixes>" for f in chosen)
        else:
            chosen, more = keys[start:start + PAGE], start + PAGE < len(keys)
            content = "".join(
                f"<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>\"e\"</ETag><Size>{size}</Size></Contents>"
                for key, size in chosen)
        token = f"<NextContinuationToken>{start + PAGE}</NextContinuationToken>" if more else ""
        return (f"<?xml version=\"1.0\"?><ListBucketResult><Name>huge</Name><IsTruncated>{str(more).lower()}</IsTruncated>"
                f"<KeyCount>{len(chosen)}</KeyCount>{token}{content}</ListBucketResult>").encode()

    pages = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        counts = {"list": 0, "get": 0}

        def do_GET(self):
            url = urllib.parse.urlparse(self.path)
            query = urllib.parse.parse_qs(url.query)
            key = urllib.parse.unquote(url.path).removeprefix("/huge").strip("/")
            if key:
                body = metas.get(key)
                self.counts["get"] += 1
            else:
                self.counts["list"] += 1
                asked = (int(query.get("continuation-token", ["0"])[0]), "delimiter" in query)
                prefix = query.get("prefix", [""])[0]
                body = pages.setdefault(asked, None) or page(*asked) if not prefix else page(len(keys), False)
                pages[asked] = body
            self.send_response(200 if body is not None else 404)
            body = body or b""
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
            self.send_header("ETag", "\"e\"")
            self.end_headers()
            self.wfile.write(body)

        def do_HEAD(self):
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
        daemon_threads = True

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, Handler.counts


def measure(command, out):
    began = time.monotonic()
    with open(out, "wb") as to:
        process = subprocess.Popen(command, stdout=to, stderr=subprocess.PIPE)
        errors = process.stderr.read()
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"huge_bucket: {' '.join(command[:4])} ended with {process.returncode}:\n{errors.decode()[-2000:]}")
    return {"wall s": time.monotonic() - began, "CPU s": used.ru_utime + used.ru_stime, "peak MiB": used.ru_maxrss / 1024}


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--bin", default=str(TOP / "target/release/blockyard"))
    arguments.add_argument("--blocks", type=int, default=100_000)
    arguments.add_argument("--groups", type=int, default=500)
    arguments.add_argument("--runs", type=int, default=3)
    options = arguments.parse_args()
    metas, keys = bucket(options.blocks, options.groups)
    server, counts = serve(metas, keys)
    config = (f"--objstore.config={{type: S3, config: {{bucket: huge, endpoint: '127.0.0.1:{server.server_port}', insecure: true, "
              "access_key: a, secret_key: b, region: x, bucket_lookup_type: path}}")
    with tempfile.TemporaryDirectory() as folder:
        data, out = f"--data-dir={folder}/data", pathlib.Path(folder) / "plan.json"
        common = [config, data, "--log.level=error"]
        idle = ["--debug.max-compaction-level=0", "--downsampling.disable", "--http-address=", "--compact.no-lease"]
        cold = measure([options.bin, "compact", *common, *idle], out)
        print(f"a first pass, metas fetched: {cold['CPU s']:.2f} s of CPU, {cold['peak MiB']:.0f} MiB; {counts}")
        results = []
        for _ in range(options.runs):
            counts.update(list=0, get=0)
            results.append(measure([options.bin, "tools", "bucket", "plan", *common, "--output=json"], out))
        plan = json.loads(out.read_text())
        blocks = sum(len(job["blocks"]) for job in plan["jobs"]) + sum(len(left["blocks"]) for left in plan["leftAlone"])
        for name in results[0]:
            print(f"plan, {name}: {statistics.median(run[name] for run in results):.2f}")
        print(f"{len(plan['jobs'])} jobs of {options.blocks} blocks in {options.groups} groups; asked: {counts}")
        if blocks != options.blocks:
            sys.exit(f"huge_bucket: {blocks} blocks of {options.blocks} are in the plan")


if __name__ == "__main__":
    main()
