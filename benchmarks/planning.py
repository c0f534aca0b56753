"""What a run costs before its first image: a source of millions of records, listed and planned.

    python -m benchmarks.planning manifest    ten million rows of a Parquet manifest
    python -m benchmarks.planning store       ten million objects of a store like S3
    python -m benchmarks.planning folder      a million files of a folder

The manifest is read from the disk, and none of its images is there. The store gives made-up pages
of 1,000 objects, as its client hands them over: neither requests nor their XML are counted. The
folder has empty files. Each is measured in a new process; peak is resident memory above that of a
process which has imported all that is needed.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from features.errors import UsageError
from features.sources import open_source
from pipeline.reports.tables import render

CLASSES, PAGE, PART = 10, 1000, 2**17
PARTS = ("manifest", "store", "folder")
URL = "s3://made-up/photos"


def main() -> None:
    arguments = _arguments()
    if arguments.place:
        print(planned(arguments.part, arguments.records, arguments.place))
        return
    with tempfile.TemporaryDirectory(prefix="planning-", dir=arguments.folder) as scratch:
        place = made(arguments.part, arguments.records, Path(scratch))
        facts = (f"--records={arguments.records}", f"--place={place}")
        command = [sys.executable, "-m", "benchmarks.planning", arguments.part, *facts]
        print(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def made(part: str, records: int, scratch: Path) -> str:
    """Make a source; return its place."""
    if part == "store":
        return URL
    if part == "manifest":
        return str(_manifest(scratch / "images.parquet", records))
    for row in range(records):
        path = scratch / _name(row)
        if row < CLASSES:
            path.parent.mkdir()
        path.touch()
    return str(scratch)


def planned(part: str, records: int, place: str) -> str:
    """Open a source and take its fingerprint; return seconds and the peak after each."""
    if part == "store":
        _fake_store(records)
    elif part == "manifest":
        import pyarrow.compute
        import pyarrow.parquet  # noqa: F401
    with_nothing = _peak()
    table = []
    for what in ("listed", "its fingerprint", "how it was read"):
        started, computed = time.perf_counter(), time.process_time()
        if what == "listed":
            source = open_source(place)
        elif what == "its fingerprint":
            source.fingerprint()
        else:
            source.reading  # noqa: B018 - it counts
        peak = _peak() - with_nothing
        table.append((what, f"{time.perf_counter() - started:.1f}",
                      f"{time.process_time() - computed:.1f}", f"{peak / 1e6:.0f}",
                      f"{peak / len(source):.0f}"))  # fmt: skip
    header = (f"{part}, {len(source):,}", "seconds", "CPU s", "peak MB", "bytes a record")
    return render(header, table)


def _name(row: int) -> str:
    return f"class{row % CLASSES}/{row:09d}-photograph.jpg"  # 31 characters


def _manifest(path: Path, records: int) -> Path:
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.schema([("path", pa.string()), ("label", pa.string())])
    with parquet.ParquetWriter(path, schema) as writer:
        for start in range(0, records, PART):
            rows = range(start, min(start + PART, records))
            columns = [[_name(row) for row in rows], [f"class {row % CLASSES}" for row in rows]]
            writer.write_table(pa.table(columns, schema=schema))
    return path


def _fake_store(records: int) -> None:
    """Have S3's client answer with made-up pages, in the order of names as S3 does."""
    import datetime

    from features.remote.connections import store_of

    when = datetime.datetime.now(datetime.UTC)
    per_class = -(-records // CLASSES)
    prefix = URL.partition("://")[2].partition("/")[2]

    def objects(start: int) -> Iterator[dict[str, Any]]:
        for number in range(start, min(start + PAGE, records)):
            row = number // per_class + CLASSES * (number % per_class)
            yield {"Key": f"{prefix}/{_name(row)}", "LastModified": when, "Size": 100_000 + row,
                   "ETag": f'"{row:032x}"', "StorageClass": "STANDARD"}  # fmt: skip

    def call(method: str, **options: Any) -> dict[str, Any]:
        if method != "list_objects_v2":
            raise UsageError(f"{method} is not made up")
        start = int(options.get("ContinuationToken", "0"))
        return {"Contents": list(objects(start)), "IsTruncated": start + PAGE < records,
                "NextContinuationToken": str(start + PAGE)}  # fmt: skip

    store_of("s3").files.call_s3 = call


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.planning", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--records", type=int, help="default: ten million; of a folder, a million")
    parser.add_argument("--folder", type=Path, help="where files lie; default: temporary")
    parser.add_argument("--place", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.records = arguments.records or 10 ** (6 if arguments.part == "folder" else 7)
    return arguments


if __name__ == "__main__":
    main()
