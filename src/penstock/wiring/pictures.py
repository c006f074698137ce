"""Pictures as files: SVG as it is, PNG by a library of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from penstock.ground.errors import MachineError, UserError


def picture_writer(path: Path) -> Callable[[str, Path], None]:
    """What writes SVG documents to files that end as `path` does; ask before the work is done.

    Raises:
        UserError: another ending than .svg or .png, or a folder that is not there.
        MachineError: PNG is asked for and resvg_py is not installed.
    """
    if not path.parent.is_dir():
        raise UserError(f"{path} cannot be drawn", why=f"there is no folder {path.parent}")
    if path.suffix == ".svg":
        return _write_svg
    if path.suffix == ".png":
        return _png_writer()
    raise UserError(f"{path} is no picture", fix="End the name in .svg or .png.")


def _write_svg(svg: str, path: Path) -> None:
    path.write_text(svg, encoding="utf-8")


def _png_writer() -> Callable[[str, Path], None]:
    try:
        from resvg_py import svg_to_bytes
    except ImportError:
        raise MachineError(
            "PNG needs resvg_py",
            fix="Install it: pip install 'penstock[png]'; or ask for .svg",
        ) from None

    def write_png(svg: str, path: Path) -> None:
        path.write_bytes(svg_to_bytes(svg_string=svg, zoom=2))

    return write_png
