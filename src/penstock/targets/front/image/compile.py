"""Makes machine code of what every request to the gateway passes through.

    python compile.py PLACE [--python PYTHON]

PLACE holds the folder `penstock`, as `site-packages` does. The compiled modules are laid beside
their sources, and are what Python imports from then on: never do so in a checkout, where changes
to sources would have no effect. Needs mypyc (a part of mypy), setuptools and a C compiler. PYTHON
has what Penstock needs installed; it must be of the version of the one that runs this. It takes
about a minute.

Compiled are modules without msgspec structures, and without `__slots__` under a base that is not
compiled: mypyc does not take them. It computes the bounds of a slice twice where it does not know
what is sliced, so nothing that does something may be called in one; and it takes a slice of bytes
that ends before it begins for an error, so what reads HTTP is not among them.
"""

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

from mypyc.build import mypycify
from setuptools import setup

HOT = (
    "engines/conduit/connection",
    "engines/conduit/pool",
    "gateway/admission",
    "gateway/caller",
    "gateway/charges",
    "gateway/choice",
    "gateway/demand",
    "gateway/ends",
    "gateway/fleet",
    "gateway/front",
    "gateway/line",
    "gateway/meters",
    "gateway/overspending",
    "gateway/ratelimits",
    "gateway/ratios",
    "gateway/relay",
    "gateway/request_ids",
    "gateway/route_meters",
    "gateway/till",
    "gateway/ways",
    "registry/audit/links",
    "registry/audit/minutes",
    "registry/counters/memory",
    "registry/counters/slices",
    "registry/counters/tokens",
    "registry/entries",
    "registry/gate",
    "registry/pricing",
    "registry/purse",
    "registry/shared_gate",
    "registry/slots",
)
"""Modules, as paths below `penstock`."""


def compile_in(place: Path, python: Path) -> list[Path]:
    """Compile the modules of `HOT` that lie in `place`, and return what was laid there.

    Raises:
        SystemExit: mypyc or the C compiler have refused, and said why.
    """
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        ignored = shutil.ignore_patterns("__pycache__", "*.so")
        shutil.copytree(place / "penstock", work / "tree" / "penstock", ignore=ignored)
        os.chdir(work / "tree")  # mypy takes no sources from `site-packages`
        options = [
            "--ignore-missing-imports",
            f"--python-executable={python}",
            f"--cache-dir={work / 'cache'}",
        ]
        modules = [f"penstock/{module}.py" for module in HOT]
        setup(
            name="penstock-compiled",
            ext_modules=mypycify(
                [*options, *modules], group_name="penstock", target_dir=str(work / "c")
            ),
            script_args=[
                "--quiet",
                "build_ext",
                "--inplace",
                f"--build-temp={work / 'objects'}",
                f"--build-lib={work / 'lib'}",
            ],
        )
        laid = []
        for made in Path().rglob("*.so"):
            laid.append(Path(shutil.copy2(made, place / made)))
        os.chdir(place)
        return laid


def main() -> None:
    """Compile, and say what was compiled."""
    parser = argparse.ArgumentParser(description="compile the hot path of Penstock's gateway")
    parser.add_argument("place", type=Path, help="what holds the folder penstock")
    parser.add_argument("--python", type=Path, default=Path(sys.executable))
    options = parser.parse_args()
    laid = compile_in(options.place.resolve(), options.python.absolute())
    size = sum(each.stat().st_size for each in laid)
    sys.stderr.write(f"compiled {len(HOT)} modules ({size >> 10} KiB)\n")


if __name__ == "__main__":
    main()
