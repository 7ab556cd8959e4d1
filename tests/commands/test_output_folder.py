from __future__ import annotations

import pytest

from mdgeomfeat.commands.output import check_output, output_folder
from mdgeomfeat.errors import InputError


def fill(folder, text="{}"):
    (folder / "summary.json").write_text(text)


def fail_in(out, error, overwrite=False):
    with output_folder(out, overwrite=overwrite) as work:
        fill(work, "new")
        raise error


def test_folder_appears_only_when_all_went_well(tmp_path):
    out = tmp_path / "deep" / "result"
    with output_folder(out, overwrite=False) as work:
        fill(work)
        assert not out.exists()
    assert (out / "summary.json").is_file()
    assert [p.name for p in out.parent.iterdir()] == ["result"]


def test_failure_leaves_nothing(tmp_path):
    out = tmp_path / "result"
    with pytest.raises(KeyboardInterrupt):
        fail_in(out, KeyboardInterrupt)
    assert list(tmp_path.iterdir()) == []


def test_failure_keeps_earlier_results(tmp_path):
    out = tmp_path / "result"
    out.mkdir()
    fill(out, "old")
    with pytest.raises(RuntimeError):
        fail_in(out, RuntimeError, overwrite=True)
    assert (out / "summary.json").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["result"]


def test_existing_results_are_replaced_only_when_asked(tmp_path):
    out = tmp_path / "result"
    out.mkdir()
    fill(out, "old")
    with pytest.raises(InputError, match=r"already exists.*--overwrite"):
        check_output(out, overwrite=False)
    with output_folder(out, overwrite=True) as work:
        fill(work, "new")
    assert (out / "summary.json").read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["result"]


def test_a_folder_of_something_else_is_never_replaced(tmp_path):
    out = tmp_path / "thesis"
    out.mkdir()
    (out / "chapter1.tex").write_text("years of work")
    with pytest.raises(InputError, match="something other than results"):
        check_output(out, overwrite=True)
    assert (out / "chapter1.tex").is_file()


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(InputError, match="is a file"):
        check_output(tmp_path / "out", overwrite=True)


def test_an_empty_folder_may_be_used(tmp_path):
    (tmp_path / "out").mkdir()
    with output_folder(tmp_path / "out", overwrite=False) as work:
        fill(work)
    assert (tmp_path / "out" / "summary.json").is_file()
