"""Sources of tools as `penstock.yaml` names them, told to the gateway; documents are read here."""

from pathlib import Path
from typing import Any

import yaml

from penstock.chat.tools.described import Operation, Query, SourceSettings, TenantAccess
from penstock.chat.tools.openapi import base_url, read_operations
from penstock.ground.errors import UserError
from penstock.manifest.model import Manifest, ToolSource
from penstock.manifest.references import parse


def tool_fields(manifest: Manifest) -> dict[str, Any]:
    """Return what the gateway is told of tools and turns: fields of its `ToolSettings`.

    Raises:
        UserError: an OpenAPI document cannot be used.
    """
    return {
        **manifest.builtin_tools.model_dump(),
        **manifest.turns.model_dump(exclude={"key"}),
        "continuation_key_env": _variable(manifest.turns.key),
        "sources": tuple(source_settings(manifest, name) for name in manifest.tools),
    }


def source_settings(manifest: Manifest, name: str) -> SourceSettings:
    """Return what the gateway is told of the source called `name`.

    Raises:
        UserError: its OpenAPI document cannot be used.
    """
    told = manifest.tools[name]
    operations, url = _operations(name, told) if told.openapi else ((), told.database)
    return SourceSettings(
        name=name,
        operations=operations,
        url=url,
        mcp_url=told.mcp,
        mcp_command=told.command,
        only=told.only,
        resources=told.resources,
        queries=tuple(
            Query(f"{name}_{query}", each.about or query, each.sql, dict(each.parameters))
            for query, each in told.queries.items()
        ),
        python=told.python,
        approve=told.approve,
        hosts=told.hosts,
        private=told.private,
        header=told.header,
        variable=told.variable,
        secret_env=_variable(told.secret or told.database_url),
        arguments=told.arguments,
        isolation=told.isolation,
        tenants={
            tenant: TenantAccess(
                _variable(given.tool_secrets.get(name)), given.tool_arguments.get(name, {})
            )
            for tenant, given in manifest.tenants.items()
            if name in given.tool_secrets or name in given.tool_arguments
        },
    )


def _variable(reference: str | None) -> str | None:
    return parse(reference).name if reference else None


def _operations(name: str, told: ToolSource) -> tuple[tuple[Operation, ...], str]:
    file = Path(told.openapi or "")
    try:
        document = yaml.safe_load(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"tools.{name}.openapi: {file} cannot be read", why=str(error)) from error
    if not isinstance(document, dict):
        raise UserError(f"tools.{name}.openapi: {file} holds no OpenAPI document")
    url = told.url or base_url(document)
    if url is None:
        raise UserError(f"tools.{name} has no address", fix=f"Set tools.{name}.url.")
    return read_operations(document, told.operations, name), url
