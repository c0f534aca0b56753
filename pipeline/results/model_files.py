"""What a model's file may be before it is read: both kinds, skops and Keras, are zip files."""

import zipfile
from pathlib import Path

from features.errors import DataError

JSON_BYTES = 2**28  # of a member: 100,000 trees of boosting, 300 rounds of 330 classes


def check_archive(path: Path) -> None:
    """Raise DataError where reading a model would need far more memory than its file has bytes.

    skops and Keras store members as they are, so that none can blow up when it is read.
    """
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    for member in members:
        packed = member.compress_type != zipfile.ZIP_STORED
        if packed or member.file_size != member.compress_size:
            raise DataError(f"{path}: {member.filename!r:.60} is packed, as no part of a model is")
        if member.filename.endswith(".json") and member.file_size > JSON_BYTES:
            raise DataError(
                f"{path}: {member.filename!r:.60} has {member.file_size:,} bytes, more than the "
                f"{JSON_BYTES:,} that a model may need"
            )
    if sum(member.file_size for member in members) > path.stat().st_size:
        raise DataError(f"{path}: its parts claim more bytes than the file has")
