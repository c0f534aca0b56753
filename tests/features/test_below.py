"""Names in files of anybody's, as paths that stay in a folder."""

import os

import pytest

from features.disk.below import below


@pytest.mark.parametrize("name", ["a.bin", "b/c.bin", "b/../a.bin", "new"])
def test_a_name_below_the_folder_is_its_path(tmp_path, name):
    assert below(tmp_path, name) == (tmp_path / name).resolve()


@pytest.mark.parametrize("name", ["../a", "b/../../a", "/etc/passwd", "a\0b", "link/a"])
def test_any_other_name_is_none(tmp_path, name):
    (tmp_path / "link").symlink_to(os.sep)
    assert below(tmp_path, name) is None


def test_links_in_a_loop_lead_nowhere_outside(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    path = below(tmp_path, "loop")  # None up to Python 3.12, else a path that cannot be opened
    assert path is None or not path.exists()
