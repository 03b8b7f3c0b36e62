from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING

import pytest

from benchmarks import growth
from benchmarks.growth import archive, slope

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("exponent", [0, 0.5, 1, 2])
def test_the_slope_is_the_exponent_of_the_growth(exponent: float) -> None:
    sizes = [300, 1_000, 3_000]
    assert slope(sizes, [7 * size**exponent for size in sizes]) == pytest.approx(exponent)


def test_a_point_beside_the_line_moves_it_a_little() -> None:
    assert 1.0 < slope([1, 10, 100], [1, 10, 110]) < 1.1


def test_an_archive_has_about_the_size_and_mostly_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "DIRECTORY", tmp_path)
    made = archive(3)
    assert 3_000_000 <= made.stat().st_size < 4_500_000
    with tarfile.open(made) as tar:
        endings = [name.rpartition(".")[2] for name in tar.getnames()]
    assert endings.count("py") > len(endings) / 2
    assert "png" in endings
