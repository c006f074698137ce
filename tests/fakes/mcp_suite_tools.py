"""The tools that the MCP conformance suite asks a server for, less the source's name before them.

Behind Penstock as the sources `test` and `json` they get the names that the suite knows:
`test_simple_text` and so on.
"""

import asyncio
import base64

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import AudioContent, EmbeddedResource, ImageContent, TextContent
from mcp_types import TextResourceContents

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()
WAV = base64.b64encode(b"RIFF$\x00\x00\x00WAVE").decode()
server = MCPServer("suite")


@server.tool()
def simple_text() -> TextContent:
    """Answer with text."""
    text = "This is a simple text response for testing."
    return TextContent(type="text", text=text)


@server.tool()
def image_content() -> ImageContent:
    """Answer with an image."""
    return ImageContent(type="image", data=PNG, mime_type="image/png")


@server.tool()
def audio_content() -> AudioContent:
    """Answer with sound."""
    return AudioContent(type="audio", data=WAV, mime_type="audio/wav")


@server.tool()
def embedded_resource() -> EmbeddedResource:
    """Answer with a resource."""
    return resource("test://embedded-resource", "This is an embedded resource content.")


@server.tool()
def multiple_content_types() -> list[TextContent | ImageContent | EmbeddedResource]:
    """Answer with several things."""
    return [
        TextContent(type="text", text="Multiple content types test:"),
        ImageContent(type="image", data=PNG, mime_type="image/png"),
        resource("test://mixed-content-resource", '{"test": "data", "value": 123}'),
    ]


@server.tool()
async def tool_with_progress(context: Context) -> str:
    """Tell of progress."""
    for done in (0, 50, 100):
        await context.report_progress(done, 100)
        await asyncio.sleep(0.15)
    return "done"


@server.tool()
def error_handling() -> str:
    """Fail."""
    raise ToolError("This tool intentionally returns an error for testing")


def resource(uri: str, text: str) -> EmbeddedResource:
    kind = "application/json" if text.startswith("{") else "text/plain"
    contents = TextResourceContents(uri=uri, mime_type=kind, text=text)
    return EmbeddedResource(type="resource", resource=contents)


if __name__ == "__main__":
    server.run("stdio")
