#!/usr/bin/env python3
"""A backlog: 168 blocks of two hours, of which two weeks become one block. Wall time, and bytes written to the disk.

Needs: a program that writes blocks, with the flags used below (-out, -series, -interval, -blocks, -start, -ext, -tag); a release
build; for the comparison a Thanos binary. Both get copies of the same FILESYSTEM bucket, by turns; what they leave live must be
equal to the byte.

    benches/backlog.py --gen PROGRAM [--peer THANOS] [--bin BINARY] [--series N] [--interval 60s] [--runs N] [--input DIR]
                       [FLAG OF COMPACT...]
    benches/backlog.py --gen ~/bin/gen --peer ~/bin/thanos --downsampling.disable

With --input the blocks are kept in DIR, or taken from there, by the next run. Memory is the peak of what is not mapped from files. Exit 1 if a run fails, or the live blocks differ.
"""
import argparse
import hashlib
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parent.parent
MIB = 1 << 20


def make(gen, out, series, interval):
    common = [gen, "-out", str(out), "-interval", interval, "-ext", "cluster=backlog"]
    subprocess.run([*common, "-series", str(series), "-blocks", "168", "-start", "2026-01-01T00:00:00Z"], check=True, stdout=subprocess.DEVNULL)
    # the newest block of a group stays as it is
    subprocess.run([*common, "-series", "100", "-blocks", "2", "-start", "2026-01-15T00:00:00Z", "-tag", "9"], check=True, stdout=subprocess.DEVNULL)


def measure(command, log):
    began = time.monotonic()
    with open(log, "wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
    memory = 0
    while True:
        try:
            status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
            memory = max([memory] + [int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon")])
        except OSError:
            pass
        pid, status, used = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        time.sleep(0.01)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"backlog: {command[0]} ended with {process.returncode}:\n" + "\n".join(log.read_text().splitlines()[-5:]))
    wall = time.monotonic() - began
    # what reached the disk, in blocks of 512 bytes
    return {"wall": wall, "cpu": used.ru_utime + used.ru_stime, "memory": memory * 1024, "written": used.ru_oublock * 512}


def live(bucket, inputs):
    found = {}
    for block in sorted(bucket.iterdir()):
        if not (block / "meta.json").exists() or (block / "deletion-mark.json").exists() or block.name in inputs:
            continue
        meta = json.loads((block / "meta.json").read_text())
        files = [block / "index", *sorted((block / "chunks").iterdir())]
        digests = [(f.name, f.stat().st_size, hashlib.sha256(f.read_bytes()).hexdigest()) for f in files]
        resolution = meta["thanos"]["downsample"]["resolution"]
        found[meta["minTime"], meta["maxTime"], resolution] = (meta["compaction"]["level"], meta["compaction"]["sources"], meta["stats"], digests)
    return found


def main():
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--gen")
    parser.add_argument("--peer")
    parser.add_argument("--bin", default=str(TOP / "target/release/blockyard"))
    parser.add_argument("--series", type=int, default=3000)
    parser.add_argument("--interval", default="60s")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--input", type=pathlib.Path)
    options, flags = parser.parse_known_args()
    if not options.gen:
        print(__doc__)
        return 2
    if not os.access(options.bin, os.X_OK):
        print(f"backlog: skipped, there is no {options.bin}: run `cargo build --release`")
        return 0
    programs = {"blockyard": options.bin} | ({"thanos": options.peer} if options.peer else {})
    work = pathlib.Path(tempfile.mkdtemp(prefix="backlog-"))
    source = options.input or work / "input"
    try:
        if not source.exists():
            make(options.gen, source, options.series, options.interval)
        inputs = {block.name for block in source.iterdir()}
        size = sum(f.stat().st_size for f in source.rglob("*") if f.is_file())
        print(f"{len(inputs)} blocks, {options.series} series, every {options.interval}: {size / MIB:.1f} MiB")
        runs, left = {name: [] for name in programs}, {}
        for _ in range(options.runs):
            for name, program in programs.items():
                bucket = work / "bucket"
                shutil.copytree(source, bucket)
                os.sync()
                (work / "bucket.yml").write_text(f"type: FILESYSTEM\nconfig:\n  directory: {bucket}\n")
                command = [program, "compact", f"--objstore.config-file={work / 'bucket.yml'}", f"--data-dir={work / 'data'}"]
                command += ["--consistency-delay=0s", "--http-address=127.0.0.1:0", *flags]
                runs[name].append(measure(command, work / "log"))
                left[name] = live(bucket, inputs)
                shutil.rmtree(bucket)
                shutil.rmtree(work / "data", ignore_errors=True)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    median = {name: {key: statistics.median(run[key] for run in all_of) for key in all_of[0]} for name, all_of in runs.items()}
    print(f"{'':10} {'wall s':>8} {'CPU s':>8} {'memory MiB':>11} {'written MiB':>12}")
    for name, m in median.items():
        print(f"{name:10} {m['wall']:8.2f} {m['cpu']:8.2f} {m['memory'] / MIB:11.0f} {m['written'] / MIB:12.0f}")
    for (start, end, resolution), (level, sources, _, digests) in left["blockyard"].items():
        print(f"live: {(end - start) / 3600e3:g}h, resolution {resolution}, level {level}, {len(sources)} sources, {sum(d[1] for d in digests) / MIB:.1f} MiB")
    if not left["blockyard"]:
        print("nothing was compacted")
        return 1
    if options.peer:
        ours, peer = median["blockyard"], median["thanos"]
        print("ratios     " + ", ".join(f"{key} {peer[key] / max(ours[key], 1e-9):.1f}" for key in ours))
        if left["blockyard"] != left["thanos"]:
            print("the live blocks differ")
            return 1
        print("the live blocks are equal to the byte")
    return 0


sys.exit(main())
