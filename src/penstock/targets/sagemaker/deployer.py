"""One deployment to SageMaker in one account, put together from its parts."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from penstock.ground.errors import UserError
from penstock.manifest.model import Manifest
from penstock.plan.carrying_out import Tell
from penstock.plan.changes import StackChange
from penstock.plan.steps import Found
from penstock.targets.aws.account import Account
from penstock.targets.aws.bucket import Bucket
from penstock.targets.aws.build_part import BuildPart
from penstock.targets.aws.builds import Builds, Workshop
from penstock.targets.aws.database import SnapshotPart
from penstock.targets.aws.docker import Docker
from penstock.targets.aws.logs import Logs
from penstock.targets.aws.parts import (
    CheckPart,
    ContentsPart,
    FilePart,
    LogsPart,
    Part,
    Parts,
    StackPart,
)
from penstock.targets.aws.stack import DomainFacts, Emitted, Observed, Stack
from penstock.targets.aws.stacks import Stacks
from penstock.targets.front.doors import Doors
from penstock.targets.front.questions import Door, GatewayQuestions
from penstock.targets.front.scene import GatewayFiles
from penstock.targets.sagemaker.attached import AttachedPart
from penstock.targets.sagemaker.deployment import Deployment, resolve
from penstock.targets.sagemaker.diagnosis import GROUPS, Diagnosis, last_part
from penstock.targets.sagemaker.hosted import Hosting
from penstock.targets.sagemaker.observing import read_domain
from penstock.targets.sagemaker.questions import Questions, Subject
from penstock.targets.sagemaker.runtime import Address, Runtime
from penstock.targets.sagemaker.stacks import emit
from penstock.targets.sagemaker.standing import Standing, read_standing

STANDING = {Found.PRESENT, Found.BUSY, Found.STUCK}
"""How stacks are found whose resources cost something."""


@dataclass(frozen=True, slots=True)
class Names:
    """What a deployment's things are called; they follow from its name alone."""

    deployment: str

    @property
    def main(self) -> str:
        """The main stack, and the endpoint."""
        return f"penstock-{self.deployment}"

    @property
    def base(self) -> str:
        """The base stack, and the base component."""
        return f"{self.main}-base"

    @property
    def log_groups(self) -> tuple[str, ...]:
        """The groups that SageMaker makes for the containers' logs; adapters have none."""
        endpoint = GROUPS["AWS::SageMaker::Endpoint"] + self.main
        return endpoint, GROUPS["AWS::SageMaker::InferenceComponent"] + self.base

    @property
    def log_groups_of_services(self) -> tuple[tuple[str, str], ...]:
        """What the names of RDS's and ECS's groups begin with, and a pattern of their ends.

        CloudFormation ends the names of database and cluster with letters and digits alone.
        """
        return (
            (f"/aws/rds/cluster/{self.base}-database-", r"[a-z0-9]+/\w+"),
            (f"/aws/ecs/containerinsights/{self.main}-Cluster-", r"[A-Za-z0-9]+/\w+"),
        )


@dataclass(frozen=True, slots=True)
class Here:
    """What this machine does for a front.

    `via` is where names are reached that only a rehearsal knows; `docker` builds the images.
    """

    via: str = ""
    docker: Docker | None = None


NOTHING_HERE = Here()


class Deployer:
    """Deploys a manifest, looks at what is deployed, and removes it."""

    def __init__(
        self,
        account: Account,
        manifest: Manifest,
        hub_cache: Path,
        *,
        keep_wreck: bool = False,
        gateway: GatewayFiles | None = None,
        here: Here = NOTHING_HERE,
    ) -> None:
        """`gateway` is what the gateway of a front is told and made from (`wiring/cloud.py`)."""
        self.account, self.manifest = account, manifest
        self.names = Names(manifest.name)
        self.stacks = Stacks(account, manifest.name)
        self.hosting = Hosting(account)
        self.logs, self.runtime = Logs(account), Runtime(account)
        self._diagnosis = Diagnosis(self.hosting, self.logs)
        self.hub_cache, self._keep_wreck = hub_cache, keep_wreck
        self._gateway, self._here = gateway, here
        self._domain: DomainFacts | None = None
        self._stack_parts: tuple[StackPart, ...] = ()

    def deployment(self) -> Parts:
        """The target that everything is deployed to."""
        self._domain = read_domain(self.account, self.manifest)
        emitted = self.emitted()
        questions = self._questions(emitted.main)
        base = self._stack_part(emitted.base)
        main = self._stack_part(emitted.main)
        self._stack_parts = (base, main)
        files: Sequence[Part] = [FilePart(each, self.bucket) for each in emitted.uploads]
        images = [BuildPart(each, self.builds) for each in emitted.builds]
        checks = [
            CheckPart("settled", "endpoint and components", questions.settled),
            CheckPart("warm", "the first answer", questions.warm),
            CheckPart("smoke", "answers as clients get them", questions.smoke),
        ]
        if self._gateway is not None:
            asked = GatewayQuestions(self.door).ask
            checks.append(CheckPart("front", "the gateway", asked))
        return Parts((base, *files, *images, main, *checks))

    def removal(self, *, keep_logs: bool = False, keep_data: bool = False) -> Parts:
        """The target that everything is removed from; the manifest's name is enough for it."""
        last: list[Part] = []
        if not keep_logs:
            last.append(LogsPart(self.logs, self._log_groups))
        saved: list[Part] = []
        if keep_data:
            saved.append(SnapshotPart(self.account, self.names.deployment, self.database))
        base = StackPart(self.names.base, self.stacks)
        main = StackPart(self.names.main, self.stacks)
        attached = AttachedPart(
            self.hosting, self.names.main, self.names.deployment, self._own_components
        )
        return Parts((*last, base, ContentsPart(self.bucket), main, attached, *saved))

    def database(self) -> str:
        """The database cluster that a stack of this deployment made; "" where there is none."""
        for name in (self.names.base, self.names.main):
            seen = self.stacks.find(name)
            for kind, physical in self.stacks.resources(seen).values() if seen else ():
                if kind == "AWS::RDS::DBCluster":
                    return physical
        return ""

    def preview(self) -> tuple[StackChange, ...]:
        """What deploying would change; it will be held to that."""
        return tuple(part.preview() for part in self._stack_parts)

    def standing(self) -> list[tuple[dict[str, Any], dict[str, str]]]:
        """Templates and parameters of the stacks that stand."""
        names = (self.names.base, self.names.main)
        found = (self.stacks.find(name) for name in names)
        return [self.stacks.template(seen) for seen in found if seen and seen.found in STANDING]

    def now(self) -> Standing:
        """How the deployment stands."""
        names = (self.names.base, self.names.main)
        return read_standing(self.account, self.stacks, self.hosting, names, self.names.main)

    def log_groups(self) -> dict[str, str]:
        """Log groups by a short name: those of the containers, and those that a stack made."""
        kinds = zip(("endpoint", "engine"), self.names.log_groups, strict=True)
        found = dict(kinds)
        for name in (self.names.base, self.names.main):
            seen = self.stacks.find(name)
            for title, (kind, physical) in self.stacks.resources(seen).items() if seen else ():
                if kind == "AWS::Logs::LogGroup":
                    found[title.removesuffix("Logs").removesuffix("LogGroup").lower()] = physical
        return found

    def emitted(self) -> Emitted:
        """The templates, with what is known of the base stack now."""
        return emit(self.manifest, self._observed(), self.hub_cache, self._gateway)

    def resolved(self) -> Deployment:
        """The manifest made definite, as the templates are made from it."""
        self._domain = self._domain or read_domain(self.account, self.manifest)
        return resolve(self.manifest, self._observed(), self.hub_cache, self._gateway)

    def _observed(self) -> Observed:
        return Observed(
            region=self.account.region,
            account=self.account.identity.account,
            domain=self._domain,
            base_outputs=self.outputs(self.names.base),
        )

    def outputs(self, stack: str) -> Mapping[str, str]:
        """The outputs of a stack; none where it does not stand."""
        seen = self.stacks.find(stack)
        return seen.outputs if seen else {}

    def bucket(self) -> Bucket | None:
        """The deployment's bucket: the one that its base stack made, and no other."""
        seen = self.stacks.find(self.names.base)
        found = self.stacks.resources(seen) if seen else {}
        kind, name = found.get("Bucket", ("", ""))
        return Bucket(self.account, name) if kind == "AWS::S3::Bucket" else None

    def address(self, model: str | None = None) -> Address:
        """Where a model or an adapter of the deployment answers; the model's own if left out.

        Raises:
            UserError: there is no such model.
        """
        base, adapters = components_of(self.emitted().main)
        if model is None or model == self.manifest.served_model:
            return Address(self.names.main, base)
        known = dict(zip(self.manifest.adapters, adapters, strict=False))
        if model not in known:
            names = ", ".join((self.manifest.served_model, *known))
            raise UserError(f"{model} is not deployed", why=f"there are {names}")
        return Address(self.names.main, known[model])

    def builds(self) -> Builds | None:
        """Where images are built; none before the base stack stands, or without a front."""
        seen = self.stacks.find(self.names.base)
        found = self.stacks.resources(seen) if seen else {}
        try:
            physical = [found[name][1] for name in ("Bucket", "BuildProject", "Repository")]
        except KeyError:
            return None
        return Builds(self.account, Workshop(*physical), self._here.docker)

    def door(self, tell: Tell) -> Door | None:
        """The gateway's address with a key; none where there is none to ask, which is told."""
        files = self._gateway
        if files is None:
            return None

        def resources() -> Mapping[str, tuple[str, str]]:
            seen = self.stacks.find(self.names.main)
            return self.stacks.resources(seen) if seen else {}

        outputs = partial(self.outputs, self.names.main)
        doors = Doors(self.account, self.manifest, files, outputs, resources)
        return doors.find(tell, self._here.via)

    def _stack_part(self, stack: Stack) -> StackPart:
        def wanted() -> Stack:
            emitted = self.emitted()
            return next(e for e in (emitted.base, emitted.main) if e.name == stack.name)

        return StackPart(
            stack.name,
            self.stacks,
            wanted,
            self._bucket_name,
            self._diagnosis.of_stack,
            keep_wreck=self._keep_wreck,
        )

    def _own_components(self) -> list[str]:
        """The components that the main stack holds."""
        seen = self.stacks.find(self.names.main)
        found = self.stacks.resources(seen).values() if seen else ()
        kind = "AWS::SageMaker::InferenceComponent"
        return [last_part(physical) for each, physical in found if each == kind]

    def _log_groups(self) -> list[str]:
        """Those of the log groups that AWS makes by itself that there are."""
        found = [name for name in self.names.log_groups if name in self.logs.groups(name)]
        for prefix, rest in self.names.log_groups_of_services:
            pattern = re.compile(re.escape(prefix) + rest)
            found += [each for each in self.logs.groups(prefix) if pattern.fullmatch(each)]
        return found

    def _bucket_name(self) -> str | None:
        bucket = self.bucket()
        return bucket.name if bucket else None

    def _questions(self, main: Stack) -> Questions:
        mode = self.manifest.target.mode or "realtime"
        base, adapters = components_of(main)
        subject = Subject(
            endpoint=self.names.main,
            component=base,
            adapters=adapters,
            engine=self.manifest.engine_kind,
            mode=mode,
            may_sleep=self.manifest.scale.min == 0 and mode in ("components", "async"),
        )
        return Questions(subject, self.hosting, self.runtime, self.bucket, self._diagnosis)


def components_of(main: Stack) -> tuple[str, tuple[str, ...]]:
    """The names of the base component and of its adapters, as a template has them; "" for none."""
    resources = main.template["Resources"]
    found = [
        each["Properties"]
        for each in (resources.values() if isinstance(resources, dict) else ())
        if each["Type"] == "AWS::SageMaker::InferenceComponent"
    ]
    names: dict[bool, list[str]] = {True: [], False: []}
    for each in found:
        is_adapter = "BaseInferenceComponentName" in each["Specification"]
        names[is_adapter].append(str(each["InferenceComponentName"]))
    return "".join(names[False][:1]), tuple(names[True])
