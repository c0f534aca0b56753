"""Parquet and CSV tables with hostile columns, headers and cells."""

from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq

from tests.hostile.spoiling import NAMES, NUMBERS, value
from tests.hostile.spoiling_parquet import spoil_footer, spoil_page

_COMPRESSIONS = (*["snappy"] * 8, "none", "gzip", "zstd", "brotli", "lz4")


def spoil_parquet(path: Path, random: Random) -> None:
    """Change a column of a Parquet file: its type, its name, its values, or what is said of it."""
    if random.random() < 0.4:
        spoil = random.choice([spoil_footer, spoil_footer, spoil_page])
        path.write_bytes(spoil(path.read_bytes(), random))
        return
    table = pq.read_table(path)
    if not table.num_columns:
        return
    at = random.randrange(table.num_columns)
    name, count = table.column_names[at], table.num_rows
    way = random.randrange(6)
    if way == 0:
        table = table.remove_column(at)
    elif way == 1:
        table = table.rename_columns(
            [*table.column_names[:at], random.choice(NAMES), *table.column_names[at + 1 :]]
        )
    elif way == 2:
        table = table.set_column(at, name, _column(count, random))
    elif way == 3:
        table = table.take(
            pa.array([0] * random.choice([0, 1, 200_000]), pa.int64())
            if count
            else pa.array([], pa.int64())
        )
    elif way == 4:
        table = table.append_column(random.choice(NAMES), _column(count, random))
    else:
        table = table.set_column(at, name, _one_changed(table.column(at).to_pylist(), random))
    if random.random() < 0.1:
        table = table.replace_schema_metadata(
            {b"offshelf": random.choice([b"null", b"{}", b"\xff", b"[[["])}
        )
    pq.write_table(table, path, compression=random.choice(_COMPRESSIONS))


def _column(count: int, random: Random) -> pa.Array:
    kind = random.randrange(6)
    if kind == 0:
        return pa.nulls(count)
    if kind == 1:
        return pa.array([random.choice(NAMES)] * count)
    if kind == 2:
        return pa.array([random.choice([0.5, 5.0, -4.0, float("nan"), float("inf"), 0.0])] * count)
    if kind == 3:
        return pa.array([[1, 2]] * count)
    if kind == 4:
        return pa.array([b"\xff\xfe"] * count)
    return pa.array([random.choice([0, -1, 2**62])] * count)


def _one_changed(values: list, random: Random) -> pa.Array:
    values = list(values)
    if values:
        old = values[0]
        new = (
            random.choice(NAMES)
            if isinstance(old, str)
            else random.choice(
                [n for n in NUMBERS if isinstance(n, type(old)) and abs(n) < 100] or [old]
            )
        )
        values[random.randrange(len(values))] = random.choice([new, None, values[-1]])
    return pa.array(values)


def spoil_table(text: str, random: Random, delimiter: str = ",") -> str:
    """Change cells, headers or rows of a CSV."""
    rows = [line.split(delimiter) for line in text.splitlines()]
    for _ in range(random.choice([1, 1, 3])):
        row = random.choice(rows)
        way = random.randrange(6)
        if way < 2:
            row[random.randrange(len(row))] = random.choice(NAMES)
        elif way == 2:
            row[random.randrange(len(row))] = str(value(random))[:200_000]
        elif way == 3:
            row.extend(["x"] * random.choice([1, 3000]))
        elif way == 4:
            row[random.randrange(len(row))] = random.choice(['"', '"\n"', "\0", '""""', "\r"])
        else:
            rows.append(list(row))
    return "\n".join(delimiter.join(row) for row in rows)
