"""The addresses of SageMaker's runtime, taken apart."""

import re
from dataclasses import dataclass

_INVOKE = re.compile(
    r"/endpoints/(?P<endpoint>[^/]+)/(?P<how>invocations|invocations-response-stream|"
    r"async-invocations)"
)
_OPENAI = re.compile(
    r"/endpoints/(?P<endpoint>[^/]+)(?:/inference-components/(?P<component>[^/]+))?"
    r"/openai(?P<path>/.*)"
)


@dataclass(frozen=True, slots=True)
class Route:
    """What a path of the runtime asks for; `how` is `openai` for OpenAI's own route."""

    endpoint: str
    how: str
    component: str = ""
    path: str = ""


def route(path: str) -> Route | None:
    """Return what `path` asks for; none when it is not the runtime's."""
    if found := _INVOKE.fullmatch(path):
        return Route(found["endpoint"], found["how"])
    if found := _OPENAI.fullmatch(path):
        return Route(found["endpoint"], "openai", found["component"] or "", found["path"])
    return None
