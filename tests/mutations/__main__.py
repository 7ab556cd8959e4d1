"""Break the package's rules one by one, and see that a test notices each.

Every rule of the contract that some test is said to guard stands in one of the TOML
files beside this one: a sentence, the lines that keep it, lines that break it, and the
tests that should fail then. This script copies the package, breaks one rule at a time
in the copy, and runs those tests until the first failure. From the repository's root::

    python tests/mutations                    all of them, some ten seconds each
    python tests/mutations kinetics boxes     those of two files
    python tests/mutations -k lag -k gap      those that have both words somewhere
    python tests/mutations --list             which there are
    python tests/mutations --check            only whether the lines are still there

It ends with a count, and with status 1 if a broken rule was not noticed, if the lines
of one are no longer in the package, or if its tests fail with the rule unbroken.

A new rule goes into the TOML file of its room::

    [[rule]]
    says = "The lag never exceeds a twentieth of the shortest trajectory."
    file = "kinetics/lag.py"            # in the package
    old = "CAP = 20"                    # stands there exactly once
    new = "CAP = 4"
    tests = ["kinetics/test_lag.py"]    # in tests/; may name single tests with ::

``tests`` at the top of a file serves rules that have none of their own.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import re
import shutil
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "mdgeomfeat"
#: Seconds until tests that do not end count as failed.
LIMIT = 600
#: Imported once; every run of tests is a fork that has them already.
HEAVY = (
    "numpy",
    "scipy.sparse.csgraph",
    "numba",
    "torch",
    "MDAnalysis",
    "zarr",
    "pytest",
)
HEAVY += (
    "sklearn.cluster",
    "deeptime.decomposition",
    "deeptime.markov",
    "typer.testing",
)


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A rule and how to break it.

    Attributes
    ----------
    room : str
        Name of the TOML file.
    says : str
        The rule in a sentence.
    file : str
        In the package.
    old, new : str
        Lines that keep the rule, and lines that break it.
    tests : tuple of str
        Should fail then; paths in ``tests``, perhaps with ``::`` and a name.
    """

    room: str
    says: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def broken(self, package: Path) -> str:
        """Return the text of the file with the rule broken.

        Raises
        ------
        ValueError
            If the lines are not there exactly once, or make no Python.
        """
        path = package / self.file
        text = path.read_text("utf-8") if path.is_file() else ""
        found = text.count(self.old)
        if found != 1:
            raise ValueError(f"its lines stand {found} times in {self.file}")
        changed = text.replace(self.old, self.new)
        try:
            compile(changed, self.file, "exec")
        except SyntaxError as error:
            raise ValueError(f"its new lines are no Python ({error})") from error
        return changed


def read_rules(folder: Path) -> list[Rule]:
    """Read the rules of all TOML files of a folder."""
    rules = []
    for path in sorted(folder.glob("*.toml")):
        content = tomllib.loads(path.read_text("utf-8"))
        for entry in content["rule"]:
            tests = tuple(entry.pop("tests", content.get("tests", ())))
            rules.append(Rule(room=path.stem, tests=tests, **entry))
    return rules


def problems(rules: Sequence[Rule], root: Path = ROOT) -> list[str]:
    """Return one sentence for each rule that can no longer be broken."""
    found = []
    for rule in rules:
        try:
            rule.broken(root / PACKAGE)
        except ValueError as error:
            found.append(f"{rule.room}: {rule.says} ({error})")
        for test in rule.tests:
            path, *names = test.split("::")
            file = root / "tests" / path
            text = file.read_text("utf-8") if file.is_file() else ""
            if not text or (names and f"def {names[0]}(" not in text):
                found.append(f"{rule.room}: {rule.says} (there is no tests/{test})")
        if not rule.tests:
            found.append(f"{rule.room}: {rule.says} (it names no tests)")
    twice = [s for s, n in Counter(rule.says for rule in rules).items() if n > 1]
    return [*found, *(f"stands there twice: {says}" for says in twice)]


class Workshop:
    """A copy of the package in which rules can be broken.

    Parameters
    ----------
    root : Path
        The repository.
    """

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root
        self._folder = tempfile.TemporaryDirectory(prefix="mutations-")
        self.package = Path(self._folder.name) / PACKAGE
        # with times and caches, so that kernels are not compiled again
        shutil.copytree(root / PACKAGE, self.package)

    def __enter__(self) -> Workshop:
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    @contextlib.contextmanager
    def breaking(self, rule: Rule) -> Iterator[Path | None]:
        """Break a rule; yields a folder for compiled code if kernels may change."""
        path = self.package / rule.file
        kept, status = path.read_bytes(), path.stat()
        changed = rule.broken(self.package)
        path.write_text(changed, "utf-8")
        # Python takes a file of the same size and second for the one it knows.
        os.utime(path, (status.st_atime, status.st_mtime + 7))
        try:
            if "numba" in changed or "njit" in changed:
                with tempfile.TemporaryDirectory(dir=self._folder.name) as compiled:
                    yield Path(compiled)
            else:
                yield None
        finally:
            path.write_bytes(kept)
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    def run(
        self, tests: Sequence[str], compiled: Path | None = None
    ) -> tuple[int, str]:
        """Run tests against the copy until the first failure.

        Returns
        -------
        status : int
            pytest's; 1 also where they do not end in time.
        output : str
        """
        with tempfile.NamedTemporaryFile("r", suffix=".txt") as output:
            child = multiprocessing.get_context("fork").Process(
                target=_run_tests,
                args=(self._root, self.package, tests, compiled, output.name),
            )
            child.start()
            child.join(LIMIT)
            if child.is_alive():
                child.kill()
                child.join()
                return 1, f"FAILED after {LIMIT} s, at which they were ended"
            return child.exitcode or 0, output.read()


def _run_tests(
    root: Path, package: Path, tests: Sequence[str], compiled: Path | None, output: str
) -> None:
    """Run in a process of its own: import the copy, and end with pytest's status."""
    file = os.open(output, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(file, stream)
    os.chdir(root)
    sys.path.insert(0, str(package.parent))
    os.environ["PYTHONPATH"] = str(package.parent)
    import numba
    import pytest

    if compiled is not None:
        os.environ["NUMBA_CACHE_DIR"] = numba.config.CACHE_DIR = str(compiled)
    import mdgeomfeat

    if Path(mdgeomfeat.__file__).parent != package:
        raise RuntimeError(f"{mdgeomfeat.__file__} is not the copy")
    status = pytest.main(
        ["-x", "-q", "--tb=no", "-p", "no:cacheprovider"]
        + [f"tests/{test}" for test in tests]
    )
    sys.stdout.flush()
    os._exit(int(status))


def check_unbroken(shop: Workshop, rules: Sequence[Rule]) -> list[str]:
    """Return the tests that fail, or do not run, while every rule is kept."""
    failing = []
    for test in dict.fromkeys(t for rule in rules for t in rule.tests):
        began = time.monotonic()
        status, output = shop.run([test])
        ran = re.search(r"(\d+) passed", output)
        if status or not ran:
            failing.append(f"tests/{test} does not pass unbroken: {output[-300:]}")
        print(f"  {time.monotonic() - began:5.1f} s  tests/{test}", flush=True)
    return failing


def judge(shop: Workshop, rule: Rule) -> tuple[str, str]:
    """Return whether a broken rule is noticed: ``killed``, ``survived`` or ``error``.

    Returns
    -------
    verdict, why : str
        The first test that failed, or what went wrong.
    """
    with shop.breaking(rule) as compiled:
        status, output = shop.run(rule.tests, compiled)
    if status == 0:
        return "survived", ", ".join(rule.tests)
    named = re.search(r"^(?:FAILED|ERROR) (\S+)", output, re.MULTILINE)
    if status == 1 and named:
        return "killed", named[1]
    if status < 0:
        return "killed", f"the process was ended by signal {-status}"
    return "error", output[-500:]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the script; see the words at the top."""
    parser = argparse.ArgumentParser(prog="python tests/mutations")
    parser.add_argument("rooms", nargs="*", help="TOML files, without the suffix")
    parser.add_argument("-k", dest="words", action="append", default=[], metavar="WORD")
    parser.add_argument("--list", action="store_true", help="show the rules and stop")
    parser.add_argument("--check", action="store_true", help="look for old lines only")
    parser.add_argument(
        "--trust", action="store_true", help="do not run tests unbroken"
    )
    asked = parser.parse_args(arguments)
    rules = [
        rule
        for rule in read_rules(Path(__file__).parent)
        if (not asked.rooms or rule.room in asked.rooms)
        and all(
            w.lower() in f"{rule.says} {rule.file} {rule.tests}".lower()
            for w in asked.words
        )
    ]
    if not rules:
        parser.error("no rule is chosen; see --list")
    if asked.list:
        print("\n".join(f"{rule.room:12} {rule.says}" for rule in rules))
        return 0
    stale = problems(rules)
    if stale or asked.check:
        print("\n".join(stale) or f"all {len(rules)} rules can be broken")
        return bool(stale)

    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # tests of rules need none, and loading them takes longer than most tests
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    for name in HEAVY:
        __import__(name)
    with Workshop() as shop:
        failing = [] if asked.trust else check_unbroken(shop, rules)
        if failing:
            print("\n".join(failing))
            return 1
        verdicts = Counter()
        for number, rule in enumerate(rules, 1):
            began = time.monotonic()
            verdict, why = judge(shop, rule)
            verdicts[verdict] += 1
            print(
                f"{number}/{len(rules)} {verdict} ({time.monotonic() - began:.0f} s) "
                f"{rule.room}: {rule.says}\n    {why}",
                flush=True,
            )
    print(
        f"{verdicts['killed']} of {len(rules)} broken rules were noticed, "
        f"{verdicts['survived']} survived, {verdicts['error']} could not be judged."
    )
    return int(verdicts["killed"] < len(rules))


if __name__ == "__main__":
    sys.exit(main())
