"""The fold benchmark's lists: which domains are in which part, and their classes.

The layout is that of HomologyTAPE (Hou, Adhikari and Cheng 2018, as Hermosilla et al.
2021 published it): ``class_map.txt`` numbers the classes, ``PART.txt`` has a line for
each domain, and the folder ``PART`` holds a file of that name for each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from ..errors import InputError
from .domains import Domain, read_domain

__all__ = ["PARTS", "FoldLists", "read_domains", "read_fold_lists"]

#: Parts of the benchmark. The first is trained on, the second ends training.
PARTS: Final = (
    "training",
    "validation",
    "test_fold",
    "test_superfamily",
    "test_family",
)
_ENDINGS: Final = (".hdf5", ".h5", ".pdb", ".ent", ".pdb.gz", ".ent.gz")


@dataclass(frozen=True)
class FoldLists:
    """Domains of every part with their classes.

    Parameters
    ----------
    folder : Path
    classes : tuple of str
        Names of the classes, by number.
    parts : mapping of str to (names, labels)
        For every part the names of its domains and the numbers of their classes.
    """

    folder: Path
    classes: tuple[str, ...]
    parts: Mapping[str, tuple[tuple[str, ...], tuple[int, ...]]]

    def files(
        self, part: str, missing: Literal["refuse", "skip"] = "refuse"
    ) -> dict[str, Path]:
        """Return the file of every domain of a part.

        Parameters
        ----------
        part : str
        missing : {"refuse", "skip"}
            What to do about domains without a file.

        Returns
        -------
        dict of str to Path
            In the order of the list.

        Raises
        ------
        InputError
            If domains have no file, or none has one.
        """
        folder = self.folder / part
        there = {path.name: path for path in folder.glob("*")}
        found = {
            name: path
            for name in self.parts[part][0]
            for path in [next(_of(name, there), None)]
            if path is not None
        }
        lacking = [name for name in self.parts[part][0] if name not in found]
        if lacking and (missing == "refuse" or not found):
            named = ", ".join(lacking[:3]) + (", …" if len(lacking) > 3 else "")
            remedy = "add them, or pass missing='skip'" if found else "add them"
            raise InputError(
                f"{folder} has no file for {len(lacking)} of "
                f"{len(self.parts[part][0])} domains ({named}); {remedy}. A file is "
                f"named after its domain and ends in {', '.join(_ENDINGS)}."
            )
        return found


def _of(name: str, there: Mapping[str, Path]) -> Iterator[Path]:
    return (there[name + end] for end in _ENDINGS if name + end in there)


def read_fold_lists(folder: str | Path, parts: Iterable[str] = PARTS) -> FoldLists:
    r"""Read the lists of a fold benchmark.

    Parameters
    ----------
    folder : path
        With ``class_map.txt`` (class, tab, number) and ``PART.txt`` for each part
        (domain, other columns, class). The class of a domain is its last column that
        the class map names; other columns may hold a length or a superclass.
    parts : iterable of str
        Begins with the part that is trained on.

    Returns
    -------
    FoldLists

    Raises
    ------
    InputError
        If a list is missing or damaged, a domain is listed twice, or a class occurs
        in a part that is not trained on only.

    Examples
    --------
    >>> from pathlib import Path
    >>> from mdgeomfeat.folds import read_fold_lists
    >>> Path("folds").mkdir()
    >>> _ = Path("folds/class_map.txt").write_text("a.1\t0\nb.1\t1\n")
    >>> _ = Path("folds/training.txt").write_text("d1abca_\ta.1\nd2abca_\tb.1\n")
    >>> _ = Path("folds/validation.txt").write_text("d3abca_\t120\tb.1\n")
    >>> lists = read_fold_lists("folds", ["training", "validation"])
    >>> lists.classes, lists.parts["validation"]
    (('a.1', 'b.1'), (('d3abca_',), (1,)))
    """
    folder, parts = Path(folder), tuple(parts)
    numbers = _class_map(folder / "class_map.txt")
    read = {part: _part(folder / f"{part}.txt", numbers) for part in parts}
    _refuse_repeated(read)
    trained = set(read[parts[0]][1])
    for part in parts[1:]:
        never = sorted(set(read[part][1]) - trained)
        if never:
            names = [name for name, number in numbers.items() if number in never]
            raise InputError(
                f"{part}.txt holds {len(never)} classes that no domain of "
                f"{parts[0]}.txt has ({', '.join(names[:3])}); a class that is never "
                "trained on cannot be told, so leave these domains out."
            )
    return FoldLists(folder, tuple(sorted(numbers, key=numbers.__getitem__)), read)


def _lines(path: Path) -> list[tuple[int, list[str]]]:
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path} cannot be read; a fold benchmark needs this list."
        ) from error
    rows = enumerate(text.splitlines(), start=1)
    return [(number, line.split()) for number, line in rows if line.strip()]


def _class_map(path: Path) -> dict[str, int]:
    numbers: dict[str, int] = {}
    for line, words in _lines(path):
        if len(words) != 2 or not words[1].isdigit() or words[0] in numbers:
            raise InputError(
                f"{path}: line {line} must hold a class, named once, and its number."
            )
        numbers[words[0]] = int(words[1])
    if sorted(numbers.values()) != list(range(len(numbers))):
        raise InputError(
            f"The numbers in {path} must be 0 to {len(numbers) - 1}, each given once."
        )
    return numbers


def _part(
    path: Path, numbers: Mapping[str, int]
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    names, labels = [], []
    for line, words in _lines(path):
        label = next((numbers[w] for w in words[:0:-1] if w in numbers), None)
        if label is None:
            raise InputError(
                f"{path}: line {line} holds no class of class_map.txt; a line must "
                "have a domain and, in a later column, its class."
            )
        names.append(words[0])
        labels.append(label)
    if not names:
        raise InputError(f"{path} lists no domain; name some.")
    return tuple(names), tuple(labels)


def _refuse_repeated(
    parts: Mapping[str, tuple[tuple[str, ...], tuple[int, ...]]],
) -> None:
    where: dict[str, str] = {}
    for part, (names, _) in parts.items():
        for name in names:
            if name in where:
                raise InputError(
                    f"The domain {name} is listed in {where[name]}.txt and in "
                    f"{part}.txt; it may be in one part, and once."
                )
            where[name] = part


def read_domains(
    lists: FoldLists,
    part: str,
    *,
    missing: Literal["refuse", "skip"] = "refuse",
    max_residues: int | None = 3000,
    selenium_as_sulfur: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[list[Domain], list[int]]:
    """Read the domains of a part with the numbers of their classes.

    Parameters
    ----------
    lists : FoldLists
    part : str
    missing : {"refuse", "skip"}
        What to do about domains without a file.
    max_residues, selenium_as_sulfur
        As for :func:`~mdgeomfeat.folds.domains.read_domain`.
    progress : callable, optional
        Gets how many of how many files are read.

    Returns
    -------
    domains : list of Domain
    labels : list of int

    Raises
    ------
    InputError
        If domains have no file, or a file cannot be used.

    Examples
    --------
    >>> from pathlib import Path
    >>> import shutil
    >>> from mdgeomfeat.folds import read_domains, read_fold_lists
    >>> Path("one/training").mkdir(parents=True)
    >>> _ = Path("one/class_map.txt").write_text("a.1 0")
    >>> _ = Path("one/training.txt").write_text("d1abca_ a.1")
    >>> _ = shutil.copy("top.pdb", "one/training/d1abca_.pdb")
    >>> domains, labels = read_domains(read_fold_lists("one", ["training"]), "training")
    >>> domains[0].name, domains[0].residues, labels
    ('d1abca_', ['ACE', 'GLY', 'NME'], [0])
    """
    files = lists.files(part, missing)
    of_name = dict(zip(*lists.parts[part], strict=True))
    domains = []
    for number, path in enumerate(files.values()):
        domains.append(
            read_domain(
                path,
                max_residues=max_residues,
                selenium_as_sulfur=selenium_as_sulfur,
            )
        )
        if progress is not None:
            progress(number + 1, len(files))
    return domains, [of_name[name] for name in files]
