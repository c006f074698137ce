"""The sources of images: a zip with a Dockerfile, the same to the byte from the same files.

The gateway's holds the running package itself as a wheel, so that what is deployed is what was
tried, whether Penstock was installed from an index or from a checkout.
"""

import base64
import hashlib
import io
import zipfile
from collections.abc import Callable, Mapping
from importlib.metadata import distribution, version
from importlib.resources import files
from importlib.resources.abc import Traversable

from penstock.targets.aws.stack import ImageBuild, Upload

_WHEEL = "Wheel-Version: 1.0\nGenerator: penstock\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
_EPOCH = (1980, 1, 1, 0, 0, 0)
_FASTEST = 1
"""zlib's level: the weights are nearly all of it, and level 6 takes thrice as long for 1 %."""


def gateway_source(name: str) -> tuple[ImageBuild, Upload]:
    """The image of the gateway."""
    beside = files("penstock.targets.front") / "image"
    held = {each.name: each.read_bytes() for each in beside.iterdir() if each.is_file()}
    inside = _contents()

    def pack() -> bytes:
        wheel = f"penstock-{version('penstock')}-py3-none-any.whl"
        return pack_zip(held | {wheel: _wheel(inside)})

    return _build(name, "gateway", held | inside, pack)


def mirror_source(name: str, kind: str, image: str) -> tuple[ImageBuild, Upload]:
    """Somebody else's image, brought into the deployment's own repository.

    On Fargate a volume takes its owner from what the image declares, so `/tmp` is declared here.
    """
    spec = (files("penstock.targets.front") / "image" / "buildspec.yml").read_bytes()
    held = {"Dockerfile": f'FROM {image}\nVOLUME ["/tmp"]\n'.encode(), "buildspec.yml": spec}
    return _build(name, kind, held, lambda: pack_zip(held))


def pack_zip(held: Mapping[str, bytes]) -> bytes:
    """A zip of `held` without times, so that the same contents are the same bytes.

    A wheel in it is a zip already, and stored as it is.
    """
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in sorted(held):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.external_attr = 0o644 << 16
            is_packed = name.endswith(".whl")
            method = zipfile.ZIP_STORED if is_packed else zipfile.ZIP_DEFLATED
            archive.writestr(entry, held[name], method, _FASTEST)
    return packed.getvalue()


def _build(
    deployment: str, kind: str, held: Mapping[str, bytes], pack: Callable[[], bytes]
) -> tuple[ImageBuild, Upload]:
    """The image's tag tells what is held; nothing is packed before it is to be uploaded."""
    found = hashlib.sha256()
    for name in sorted(held):
        found.update(f"{name}\0{len(held[name])}\0".encode() + held[name])
    digest = found.hexdigest()[:16]
    key = f"{deployment}/{digest}/{kind}.zip"
    return ImageBuild(f"{kind}-{digest}", key), Upload(key, pack)


def _contents() -> dict[str, bytes]:
    """The files of the package that runs, and what its wheel says of it."""
    about = distribution("penstock")
    info = f"penstock-{about.version}.dist-info"
    return dict(_tree(files("penstock"), "penstock")) | {
        f"{info}/METADATA": (about.read_text("METADATA") or "").encode(),
        f"{info}/WHEEL": _WHEEL.encode(),
        f"{info}/entry_points.txt": (about.read_text("entry_points.txt") or "").encode(),
    }


def _wheel(inside: Mapping[str, bytes]) -> bytes:
    place = f"penstock-{version('penstock')}.dist-info/RECORD"
    record = [f"{name},{_record(inside[name])}" for name in sorted(inside)]
    return pack_zip({**inside, place: ("\n".join([*record, f"{place},,"]) + "\n").encode()})


def _record(content: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return f"sha256={digest},{len(content)}"


def _tree(folder: Traversable, path: str) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for each in sorted(folder.iterdir(), key=lambda one: one.name):
        if each.name == "__pycache__" or each.name.endswith((".pyc", ".so")):
            continue
        if each.is_dir():
            found += _tree(each, f"{path}/{each.name}")
        else:
            found.append((f"{path}/{each.name}", each.read_bytes()))
    return found
