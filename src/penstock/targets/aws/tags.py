"""Tags on everything that can carry them, so that costs and owners can be told."""

from collections.abc import Mapping

from troposphere import AWSObject, Tags, Template


def tag_all(template: Template, tags: Mapping[str, str]) -> None:
    """Set `tags` on every resource of `template` that takes a list of tags."""
    for resource in template.resources.values():
        for name in ("Tags", "FileSystemTags", "AccessPointTags"):
            if _takes_tags(resource, name):
                setattr(resource, name, Tags(**tags))


def _takes_tags(resource: AWSObject, name: str) -> bool:
    kind = resource.props.get(name, (None, False))[0]
    return getattr(kind, "__name__", "") in ("Tags", "validate_tags_or_list", "tags_or_list")
