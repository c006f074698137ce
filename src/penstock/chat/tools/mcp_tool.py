"""One tool of an MCP server, as the model and MCP clients see it."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec
from mcp.types import CallToolResult, ContentBlock, EmbeddedResource, TextContent
from mcp.types import Tool as Described
from mcp_types import BlobResourceContents, TextResourceContents

from penstock.chat.results import Rich
from penstock.chat.schemas import Schema, SchemaError
from penstock.chat.sources import shown_name
from penstock.chat.toolbox import Toolbox
from penstock.ground.errors import ToolError

UNANNOUNCED = "the service's answer is not what it has announced"
"""What the model is told of an answer that does not fit the schema its server gave."""

_MAX_DESCRIPTION = 4_096
_MAX_SCHEMA_BYTES = 65_536
_MAX_ERROR = 2_000


class Server(Protocol):
    """Calls tools by the server's own names."""

    async def call(self, name: str, arguments: Mapping[str, object]) -> CallToolResult:
        """Call one; raises `ToolError` where the server is away."""


class McpTool:
    """Satisfies `Tool`. `unchecked` says why its answers are not checked, if they are not."""

    def __init__(self, server: Server, source: str, described: Described) -> None:
        self._server, self._described = server, described
        self.name = shown_name(source, described.name)
        hints = described.annotations
        self._answers, self.unchecked = _schema_of(described.output_schema)
        self.idempotent = bool(hints and (hints.idempotent_hint or hints.read_only_hint))
        about = described.description or described.title or described.name
        self.definition: Mapping[str, object] = {
            "type": "function",
            "function": {
                "name": self.name,
                "description": about[:_MAX_DESCRIPTION],
                "parameters": described.input_schema,
            },
        }

    async def call(self, arguments: Mapping[str, object]) -> object:
        """Call it; what the server calls an error is a `ToolError`."""
        result = await self._server.call(self._described.name, arguments)
        if result.is_error:
            raise ToolError(
                _text_of(result.content)[:_MAX_ERROR] or "the service reports an error"
            )
        if self._answers is not None:
            self._check(self._answers, result.structured_content)
        content = tuple(
            part.model_dump(mode="json", by_alias=True, exclude_none=True)
            for part in result.content
        )
        if result.structured_content is not None:
            return Rich(result.structured_content, content)
        text = _text_of(result.content)
        try:
            return Rich(msgspec.json.decode(text), content)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return Rich({"text": text}, content)

    def _check(self, schema: Schema, answer: object) -> None:
        why = "it has no structured content" if answer is None else schema.problems(answer)
        if why:
            raise ToolError(UNANNOUNCED, why=why)


def _schema_of(announced: dict[str, object] | None) -> tuple[Schema | None, str]:
    """Return what checks a tool's answers, and why nothing can, if that is so."""
    if announced is None:
        return None, ""
    try:
        if len(msgspec.json.encode(announced)) > _MAX_SCHEMA_BYTES:
            return None, f"it is larger than {_MAX_SCHEMA_BYTES} bytes"
        return Schema(announced), ""
    except (SchemaError, TypeError, RecursionError) as error:
        return None, str(error) or "it cannot be read"


def complaint_of(tool: McpTool) -> str:
    """Return why a tool cannot be offered; nothing if it can."""
    try:
        if len(msgspec.json.encode(tool.definition)) > _MAX_SCHEMA_BYTES:
            return f"its description is larger than {_MAX_SCHEMA_BYTES} bytes"
        Toolbox([tool])
    except (ValueError, TypeError, RecursionError) as error:
        return str(error) or "its schema cannot be used"
    return ""


def _text_of(content: Sequence[ContentBlock]) -> str:
    return "\n".join(_shown(part) for part in content)


def _shown(part: ContentBlock) -> str:
    if isinstance(part, TextContent):
        return part.text
    if isinstance(part, EmbeddedResource):
        return text_of_resource(part.resource)
    return f"[{part.type}, not shown]"


def text_of_resource(resource: TextResourceContents | BlobResourceContents) -> str:
    """Return a resource as the model may read it; what is no text is only named."""
    if isinstance(resource, TextResourceContents):
        return resource.text
    return f"[{resource.mime_type or 'binary data'}, not shown]"
