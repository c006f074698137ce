"""Which families of checks there are for a manifest; boto3 only where its target is in AWS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock.manifest.model import Manifest
    from penstock.targets.doctor.finding import Family, Finding


def diagnose(manifest: Manifest, directory: Path, hub_cache: Path) -> Iterator[Finding]:
    """Look at everything that a manifest's target needs, or that runs there, and say what it is.

    Raises:
        MachineError: boto3 is not installed.
        UserError: nothing is known of the target, or there is no region.
    """
    from penstock.targets.doctor.finding import examine

    if manifest.target.kind == "local":
        yield from examine(_local(manifest, directory, hub_cache))
        return
    from penstock.wiring.deploying import open_deployer

    with open_deployer(manifest, hub_cache) as deployer:
        from penstock.targets.doctor.cloud import Patient

        yield from examine(Patient(deployer).families())


def _local(manifest: Manifest, directory: Path, hub_cache: Path) -> dict[str, Family]:
    return {
        "machine": lambda: _machine(manifest, directory, hub_cache),
        "machine.engine": lambda: _engine(manifest),
    }


def _machine(manifest: Manifest, directory: Path, hub_cache: Path) -> Iterator[Finding]:
    import shutil

    from penstock.catalog.catalogue import load
    from penstock.engines.vllm_environment import available_memory_bytes
    from penstock.ground.errors import UserError
    from penstock.plan.question import find_shape
    from penstock.targets.doctor import machine
    from penstock.targets.local.state import find_directory, read_state

    where = find_directory(directory)
    gateway, gib = manifest.gateway, 2**30
    try:
        shape = find_shape(manifest, load(), hub_cache)
        weights = shape.parameters * shape.native_bits / 8 / gib
    except UserError:
        weights = None
    cached = hub_cache / f"models--{manifest.model.id.replace('/', '--')}"
    is_far = "/" in manifest.model.id and not Path(manifest.model.id).expanduser().is_dir()
    place = next((each for each in (hub_cache, *hub_cache.parents) if each.is_dir()), directory)
    yield from machine.check(
        machine.Facts(
            port=gateway.port,
            blocked=machine.blocked(gateway.host, gateway.port),
            state=read_state(where),
            tails=machine.tails(where),
            memory_gib=available_memory_bytes() / gib,
            weights_gib=weights,
            free_gib=shutil.disk_usage(place).free / gib,
            to_fetch_gib=weights if weights and is_far and not cached.is_dir() else 0.0,
        )
    )


def _engine(manifest: Manifest) -> Iterator[Finding]:
    import os

    from penstock.engines import vllm_environment
    from penstock.engines.openai import list_models
    from penstock.ground.errors import EngineUnavailable, MachineError
    from penstock.manifest.references import parse
    from penstock.targets.doctor import machine

    kind = manifest.engine_kind
    if kind == "openai":
        url, reference = manifest.engine.url or "", manifest.engine.api_key
        try:
            models = list_models(url, parse(reference).resolve(os.environ) if reference else None)
        except EngineUnavailable as error:
            yield machine.check_server(url, [], error.why or str(error))
        else:
            yield machine.check_server(url, models, "")
    elif kind == "sagemaker":
        yield from _endpoint(manifest)
    elif kind == "vllm":
        problem: MachineError | None = None
        try:
            where = " ".join(vllm_environment.require().command)
        except MachineError as error:
            problem, where = error, str(vllm_environment.place())
        yield machine.check_engine(kind, problem, where)
    else:
        yield machine.check_engine(kind, None, "it needs NumPy alone")


def _endpoint(manifest: Manifest) -> Iterator[Finding]:
    """The endpoint that a gateway here stands before."""
    from penstock.engines.sagemaker.control import SERVING
    from penstock.targets.aws.account import Account
    from penstock.targets.doctor import credentials
    from penstock.targets.doctor.finding import bad, good
    from penstock.targets.sagemaker.hosted import Hosting
    from penstock.wiring.sagemaker import mint_token, region_of

    with Account(region_of(manifest)) as account:
        yield from credentials.check(credentials.look(account))
        token = mint_token(account.region)
        short = ", shortened by the credentials' own end" if token.is_shortened else ""
        yield good("endpoint.token", f"a token can be made{short}", "signed here")
        name = manifest.engine.endpoint or ""
        found = Hosting(account).find(name)
        if found is None:
            fix = "Correct engine.endpoint or target.region."
            yield bad("endpoint.exists", f"there is no endpoint {name}", "DescribeEndpoint", fix)
            return
        evidence = f"sagemaker:DescribeEndpoint {name}: {found.status} {found.failure}".rstrip()
        if found.status in SERVING:
            yield good("endpoint.exists", f"the endpoint is {found.status}", evidence)
        else:
            fix = "Wait until it is in service, or see why it is not: `penstock doctor` there."
            yield bad("endpoint.exists", f"the endpoint is {found.status}", evidence, fix)
        wanted = manifest.engine.component
        names = [each.name for each in found.components]
        told = f"sagemaker:ListInferenceComponents: {', '.join(names) or 'none'}"
        if wanted and wanted not in names:
            fix = "Correct engine.component."
            yield bad("endpoint.component", f"there is no component {wanted}", told, fix)
        elif wanted:
            yield good("endpoint.component", f"{wanted} is there", told)
