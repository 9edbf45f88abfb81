"""The table of mutants: each fits the source as it is, and one that is cheap to find is found."""

from __future__ import annotations

import sys
from itertools import groupby
from pathlib import Path

import pytest

from benchmarks._former_bugs import FORMER_BUGS, RARE_BUGS
from benchmarks._mutants import MUTANTS, Mutant
from benchmarks.soak_mutants import (
    EVERY,
    PACKAGE,
    PASSED,
    ROOT,
    Outcome,
    broken,
    copied,
    main,
    page,
    run_apart,
)

ALL = (*EVERY, *RARE_BUGS)
LEAST = 25
SHORT = 0.2


def source(mutant: Mutant, package: Path = ROOT / PACKAGE) -> str:
    return (package / mutant.file).read_text(encoding="utf-8")


def named(name: str) -> Mutant:
    return next(mutant for mutant in EVERY if mutant.name == name)


def test_there_are_enough_and_their_names_are_unique() -> None:
    assert len(MUTANTS) >= LEAST
    assert len({mutant.name for mutant in ALL}) == len({mutant.what for mutant in ALL}) == len(ALL)
    assert len(list(groupby(sorted(mutant.file for mutant in MUTANTS)))) >= LEAST // 2


def test_a_seed_is_kept_for_each_former_bug_but_the_rare_ones() -> None:
    assert all(bug.kept for bug in FORMER_BUGS)
    assert not any(mutant.kept for mutant in (*MUTANTS, *RARE_BUGS))


@pytest.mark.parametrize("mutant", ALL, ids=[mutant.name for mutant in ALL])
def test_each_fits_the_source_once_and_compiles(mutant: Mutant) -> None:
    whole = source(mutant)

    changed = broken(mutant, whole)

    assert changed != whole
    compile(changed, mutant.file, "exec", dont_inherit=True)


def test_one_that_does_not_fit_is_refused() -> None:
    mutant = Mutant("twice", "nothing", "file.py", "a", "b")

    for text in ("", "aa"):
        with pytest.raises(ValueError, match="twice"):
            broken(mutant, text)


def test_a_copy_is_broken_and_the_checkout_is_not() -> None:
    mutant = MUTANTS[0]
    before = source(mutant)

    with copied(mutant=mutant) as copy, copied() as whole:
        assert source(mutant, copy) == broken(mutant, before)
        assert source(mutant, whole) == before

    assert not copy.exists()
    assert source(mutant) == before


def test_a_mutant_is_found_by_a_seed_that_the_unbroken_version_passes() -> None:
    with copied(mutant=named("close-keeps")) as copy:
        found = run_apart(copy, [(1, SHORT)], limit=60)
    unbroken = run_apart(ROOT / PACKAGE, [(1, SHORT)], limit=60)

    assert (found.seed, found.promise) == (1, "nothing left over")
    assert (unbroken.seed, unbroken.detail) == (0, PASSED)


def test_a_former_bug_is_found_by_the_seed_that_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bug = named("bug-dial-outlives")
    page = tmp_path / "page.rst"
    monkeypatch.setattr(sys, "argv", ["soak_mutants", bug.name, "--seeds=0", f"--output={page}"])

    main()

    assert bug.kept is not None
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith(f"{bug.name}: seed {bug.kept[0]}, nothing left over: ")
    assert told[1:] == ["1 of 1 mutants were found", "all of these seeds are passed without a mutant"]
    assert not page.exists(), "only of all of them a page is written"


def test_rare_bugs_can_be_hunted_by_name_and_unknown_ones_cannot(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for names in (["--help"], ["bug-unheard-of"]):
        monkeypatch.setattr(sys, "argv", ["soak_mutants", *names])
        with pytest.raises(SystemExit):
            main()
    told = capsys.readouterr()
    assert RARE_BUGS
    assert all(bug.name in "".join(told.out.split()) for bug in RARE_BUGS)
    assert "no such mutant: bug-unheard-of" in told.err


def test_a_process_that_ends_or_lasts_too_long_has_found_nothing(tmp_path: Path) -> None:
    package = tmp_path / PACKAGE
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('cannot even be imported')")
    broke_off = run_apart(package, [(1, SHORT)], limit=60)
    (package / "__init__.py").write_text("while True: pass")
    too_long = run_apart(package, [(1, SHORT)], limit=0.3)

    assert broke_off.seed == too_long.seed == 0
    assert "cannot even be imported" in str(broke_off)
    assert "NOT FOUND: took too long" in str(too_long)


def test_the_page_names_each_mutant_its_seed_and_promise() -> None:
    outcomes = [Outcome(seed=number, promise=f"promise {number}") for number in range(1, len(EVERY) + 1)]

    text = page(outcomes, 0.5, "abc", took=120, processes=2)

    assert f"- {len(MUTANTS)}, of 0.5 simulated hours each" in text
    assert f"put back\n     - {len(FORMER_BUGS)}\n" in text
    for number, mutant in enumerate(EVERY, 1):
        what = f"   * - {mutant.what[0].upper()}{mutant.what[1:]} (``{mutant.file}``)"
        assert f"{what}\n     - {number}: promise {number}\n" in text
