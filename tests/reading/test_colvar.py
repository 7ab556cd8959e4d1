"""Tables of numbers: PLUMED's COLVAR files and plain columns."""

from __future__ import annotations

import numpy as np
import pytest

from mdgeomfeat.errors import InputError
from mdgeomfeat.reading.colvar import read_colvar


def written(tmp_path, text):
    path = tmp_path / "COLVAR"
    path.write_text(text)
    return path


def test_plumed_files_name_their_columns(tmp_path):
    text = (
        "#! FIELDS time phi opes.bias\n#! SET min_phi -pi\n"
        " 0.000000 1.5 -2.25\n 1.000000 0.5 3e-1\n"
    )
    table = read_colvar(written(tmp_path, text))
    assert table.fields == ("time", "phi", "opes.bias")
    np.testing.assert_array_equal(table.column("opes.bias"), [-2.25, 0.3])
    np.testing.assert_array_equal(table.times, [0, 1])
    # columns may be counted as well
    np.testing.assert_array_equal(table.column("2"), [1.5, 0.5])


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("1 2\n3 4\n", ("1", "2")),
        ("# a comment\n1,2\n3,4\n", ("1", "2")),
        ("a,b\n1,2\n3,4\n", ("a", "b")),
    ],
)
def test_plain_columns(tmp_path, text, fields):
    table = read_colvar(written(tmp_path, text))
    assert table.fields == fields
    assert table.times is None
    np.testing.assert_array_equal(table.values, [[1, 2], [3, 4]])
    np.testing.assert_array_equal(table.settled, [0, 1])


def test_rows_of_a_restart_take_the_place_of_those_before(tmp_path):
    head = "#! FIELDS time w\n"
    table = read_colvar(
        written(tmp_path, head + "0 10\n1 11\n2 12\n" + head + "1 21\n2 22\n3 23\n")
    )
    np.testing.assert_array_equal(table.column("w")[table.settled], [10, 21, 22, 23])
    rows = table.rows_at(np.array([2.0, 0.0, 3.0, 4.0]))
    np.testing.assert_array_equal(table.column("w")[rows[:3]], [22, 10, 23])
    assert rows[3] == -1


def test_times_in_single_precision_are_found(tmp_path):
    times = np.arange(40_000, 41_000) * 0.2
    text = "#! FIELDS time w\n" + "".join(f"{t:.6f} {i}\n" for i, t in enumerate(times))
    table = read_colvar(written(tmp_path, text))
    rows = table.rows_at(times.astype(np.float32).astype(float)[::7])
    np.testing.assert_array_equal(rows, np.arange(1000)[::7])
    assert (table.rows_at(times[:5] + 0.1) == -1).all()
    assert (table.rows_at(times[:1] - 0.2) == -1).all()


def test_a_line_cut_off_by_a_killed_run_is_left_out(tmp_path):
    table = read_colvar(written(tmp_path, "#! FIELDS time w\n0 1\n1 2\n2"))
    assert len(table) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("#! FIELDS time w\n0 1\n1\n2 3\n", "Line 3 of .* has 1 columns"),
        ("#! FIELDS time w\n0 one\n", "Line 2 of .* cannot be read"),
        ("#! FIELDS time w\n0 1\n#! FIELDS time v\n1 2\n", "Line 3 .* other columns"),
        ("#! FIELDS time w\n", "holds no rows"),
        ("", "holds no rows"),
    ],
)
def test_damaged_tables(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read_colvar(written(tmp_path, text))


def test_files_that_are_no_tables(tmp_path):
    with pytest.raises(InputError, match=r"cannot be read .*No such file"):
        read_colvar(tmp_path / "none")
    path = tmp_path / "binary"
    path.write_bytes(bytes(range(128, 256)))
    with pytest.raises(InputError, match="is not a text file"):
        read_colvar(path)


def test_a_column_that_is_not_there(tmp_path):
    table = read_colvar(written(tmp_path, "#! FIELDS time w\n0 1\n"))
    for name in ("v", "3", "0"):
        with pytest.raises(InputError, match="choose one of time, w"):
            table.column(name)
