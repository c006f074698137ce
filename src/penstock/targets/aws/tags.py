"""Tags on everything that can carry them, so that costs and owners can be told."""

from collections.abc import Mapping

from troposphere import AWSObject, Tags, Template


def tag_all(template: Template, tags: Mapping[str, str]) -> None:
    """Set `tags` on every resource of `template` that takes a list of tags."""
    for resource in template.resources.values():
        if _takes_tags(resource):
            resource.Tags = Tags(**tags)


def _takes_tags(resource: AWSObject) -> bool:
    kind = resource.props.get("Tags", (None, False))[0]
    return getattr(kind, "__name__", "") in ("Tags", "validate_tags_or_list", "tags_or_list")
