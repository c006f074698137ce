"""The front's part of the base stack: what lasts, and what images are built and kept in."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from troposphere import AWSObject, GetAtt, Ref

from penstock.targets.aws.network import group, outwards, way
from penstock.targets.front.files import file_share
from penstock.targets.front.images import images
from penstock.targets.front.scene import PORT, Scene
from penstock.targets.front.secrets import secrets
from penstock.targets.front.state import state
from penstock.targets.front.where import Where


def front_base(scene: Scene, where: Where) -> list[AWSObject]:
    """Groups, secrets, the images' repository, and where state and files are kept."""
    made: list[AWSObject] = [*secrets(scene)]
    if scene.files.builds:
        made += images(scene)
    if scene.manifest.front.kind == "rest":
        return made
    out = [outwards(port, "Engines, tools and AWS's services") for port in ports(scene)]
    made.append(group("GatewayGroup", f"Gateways of {scene.stack}", where.vpc, out))
    if scene.is_managed:
        made += state(scene, where)
    if scene.has_ui:
        reaches = [outwards(443, "The services of AWS")]
        made.append(group("UiGroup", f"Open WebUI of {scene.stack}", where.vpc, reaches))
        made.append(way("UiReachesGateway", "UiGroup", "GatewayGroup", PORT))
        made += file_share(scene, where)
    return made


def front_outputs(scene: Scene) -> Iterator[tuple[str, object]]:
    """What the main stack and the scripts need to know of it, by name."""
    if scene.files.builds:
        yield "RepositoryUri", GetAtt("Repository", "RepositoryUri")
        yield "BuildProject", Ref("BuildProject")
    for title in _secrets(scene):
        yield f"{title}Arn", Ref(title)
    if scene.manifest.front.kind == "rest":
        return
    yield "GatewayGroupId", GetAtt("GatewayGroup", "GroupId")
    if scene.is_managed:
        yield "DatabaseHost", GetAtt("Database", "Endpoint.Address")
        yield "CountersHost", GetAtt("Counters", "Endpoint.Address")
    if scene.has_ui:
        yield "UiGroupId", GetAtt("UiGroup", "GroupId")
        yield "FileSystemId", Ref("Files")
        yield "AccessPointId", Ref("UiFiles")


def ports(scene: Scene) -> list[int]:
    """The ports that the gateway must reach: HTTPS, those of the manifest, and of given state."""
    found = {443}
    given = scene.manifest.model_dump(
        include={"tools", "models", "tracing", "keys", "builtin_tools"}
    )
    for address in _addresses(given):
        url = urlsplit(address)
        found.add(url.port or (443 if url.scheme == "https" else 80))
    if scene.manifest.front.state == "given":
        found |= {5432, 6379}
    return sorted(found)


def _addresses(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for each in value.values():
            yield from _addresses(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _addresses(each)
    elif isinstance(value, str) and value.startswith(("http://", "https://")):
        yield value


def _secrets(scene: Scene) -> list[str]:
    return [resource.title for resource in secrets(scene)]
