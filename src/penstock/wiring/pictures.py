"""Pictures as files: SVG as it is, PNG by a library of its own."""

from __future__ import annotations

from pathlib import Path

from penstock.ground.errors import MachineError, UserError


def write_picture(svg: str, path: Path) -> None:
    """Write an SVG document as `path` says: .svg or .png.

    Raises:
        UserError: another ending.
        MachineError: PNG is asked for and resvg_py is not installed.
    """
    if path.suffix == ".svg":
        path.write_text(svg, encoding="utf-8")
    elif path.suffix == ".png":
        try:
            from resvg_py import svg_to_bytes
        except ImportError:
            raise MachineError(
                "PNG needs resvg_py",
                fix="Install it: pip install 'penstock[png]'; or ask for .svg",
            ) from None
        path.write_bytes(svg_to_bytes(svg_string=svg, zoom=2))
    else:
        raise UserError(f"{path} is no picture", fix="End the name in .svg or .png.")
