"""Tried settings whose file is no such thing are told in one line."""

import io
import zipfile

import numpy as np
import pytest

from features.errors import DataError
from features.processes.packages import sha256_of
from pipeline.results.trials import TRIALS, TriedSettings


def npz(**members):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, member in members.items():
            archive.writestr(f"{name}.npy", member)
    return content.getvalue()


def npy(shape):
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + b"12"


@pytest.mark.parametrize(
    "content",
    [b"", b"PK", b"\x93NUMPY", npz(), npz(predicted=b"x"), npz(predicted=npy((10**15, 3))),
     npz(predicted=npy((2,)), scores=npy((2,))), npz(predicted=npy((10**30, 1)))],
    ids=range(8),
)  # fmt: skip
def test_what_holds_no_tried_settings(tmp_path, content):
    (tmp_path / TRIALS).write_bytes(content)
    with pytest.raises(DataError, match=r"trials\.npz cannot be read") as caught:
        TriedSettings.read(tmp_path, {"sha256": sha256_of(tmp_path / TRIALS)})
    assert "\n" not in str(caught.value)


def test_a_changed_file_is_not_looked_at(tmp_path):
    facts = TriedSettings(
        np.zeros((2, 3), np.uint8), np.zeros(2), "accuracy", np.zeros((2, 3), np.float32)
    ).write(tmp_path)
    assert TriedSettings.read(tmp_path, facts).predicted.shape == (2, 3)
    with pytest.raises(DataError, match="missing or has changed"):
        TriedSettings.read(tmp_path, facts | {"sha256": "0"})
