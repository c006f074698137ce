"""All families of checks of one deployment to SageMaker, put together."""

import json
from collections.abc import Iterator, Mapping
from functools import cached_property

from penstock.catalog.catalogue import load as load_catalogue
from penstock.ground.errors import CloudError, UserError
from penstock.manifest.references import parse
from penstock.plan.carrying_out import Tell
from penstock.plan.question import find_shape
from penstock.targets.aws.account import Account
from penstock.targets.aws.deployer_policy import MAKE_LINKED, deployer_policy
from penstock.targets.aws.roles import Statement
from penstock.targets.aws.stack import DomainFacts
from penstock.targets.doctor import (
    alarms,
    capacity,
    credentials,
    image,
    model,
    network,
    permissions,
    quotas,
    sizes,
    wreck,
)
from penstock.targets.doctor.finding import Family, Finding, Verdict, bad, examine, good
from penstock.targets.sagemaker.base import execution_statements
from penstock.targets.sagemaker.deployer import Deployer
from penstock.targets.sagemaker.deployment import Deployment
from penstock.targets.sagemaker.hosting import DOWNLOAD_S, VARIANT
from penstock.targets.sagemaker.observing import read_domain


class Patient:
    """One deployment, as far as it could be read; what several families need is read once."""

    def __init__(self, deployer: Deployer) -> None:
        self._deployer = deployer
        self.account: Account = deployer.account
        self.manifest = deployer.manifest

    def families(self) -> Mapping[str, Family]:
        """Before a deployment, and after it, in the order in which problems are met."""
        return {
            "credentials": self._credentials,
            "permissions.domain": self._domain_found,
            "permissions.deployer": self.deployer_permissions,
            "permissions.execution": self.execution_permissions,
            "quotas": self._quotas,
            "capacity": self._capacity,
            "network": self._network,
            "image": self._image,
            "model": self._model,
            "sizes": self._sizes,
            "deployment": self._wreck,
            "alarms": self._alarms,
        }

    @cached_property
    def _domain(self) -> DomainFacts | None:
        return read_domain(self.account, self.manifest)

    @cached_property
    def _deployment(self) -> Deployment:
        return self._deployer.resolved()

    def _credentials(self) -> Iterator[Finding]:
        yield from credentials.check(credentials.look(self.account))

    def _domain_found(self) -> Iterator[Finding]:
        found = self._domain
        if found is None:
            return
        evidence = f"sagemaker:DescribeDomain {found.id}: {found.vpc}, {found.execution_role}"
        if found.execution_role and found.subnets:
            yield good("permissions.domain", "the domain has a role and a network", evidence)
        else:
            fix = "Give the domain a default execution role, or set target.role."
            yield bad("permissions.domain", "the domain has no execution role", evidence, fix)

    def deployer_permissions(self) -> Iterator[Finding]:
        """Whether we may do what a deployment does."""
        arn = self.account.identity.arn
        if arn.endswith(":root"):
            return  # who may do everything
        emitted = self._deployer.emitted()
        role = self._existing_role()
        templates = (emitted.base.template, emitted.main.template)
        key = self._deployment.key(None)
        policy = deployer_policy(self.manifest.name, templates, role, str(key) if key else None)
        who = permissions.principal_of(self.account, arn)
        # Whether roles of services may be made matters only in an account that lacks them.
        asked = [each for each in _statements(policy) if MAKE_LINKED not in str(each["Action"])]
        wanted = [self._definite(each) for each in asked]
        facts = permissions.simulate(self.account, who, wanted)
        yield from permissions.check(facts, "permissions.deployer", "the deployer")

    def execution_permissions(self) -> Iterator[Finding]:
        """Whether an existing execution role may do what the containers need."""
        role = self._existing_role()
        if role is None:
            yield good("permissions.execution", "the execution role is made with it", "manifest")
            return
        yield permissions.check_trust(permissions.trust(self.account, role), role)
        found = self._deployment
        wanted = [self._definite(each) for each in execution_statements(found, found.key(None))]
        facts = permissions.simulate(self.account, role, wanted)
        yield from permissions.check(facts, "permissions.execution", "the execution role")

    @property
    def has_own_role(self) -> bool:
        """Whether the execution role is somebody else's: the manifest's, or a domain's."""
        return bool(self.manifest.target.role or self.manifest.target.domain)

    def _existing_role(self) -> str | None:
        domain = self._domain
        return self.manifest.target.role or (domain.execution_role if domain else None)

    def _definite(self, statement: Statement) -> Statement:
        """A statement about this account, with a name where it has a pattern."""
        account, region = self.account.identity.account, self.account.region
        bucket = self._deployer.outputs(self._deployer.names.base).get("BucketName")
        bucket = bucket or f"{self._deployer.names.base}-bucket"
        names = {
            "AWS::Partition": self.account.identity.arn.split(":")[1],
            "AWS::Region": region,
            "AWS::AccountId": account,
            "Bucket.Arn": f"arn:aws:s3:::{bucket}",
        }
        made = permissions.definite(statement, names)
        if not isinstance(made, dict):
            raise TypeError("a statement is a mapping")
        made["Resource"] = [_named(str(each), account, region) for each in made["Resource"]]
        return made

    def _quotas(self) -> Iterator[Finding]:
        found = self._deployment
        if found.mode == "serverless":
            return
        peak = -(-self.manifest.scale.max // found.machine.copies)
        beside = self.manifest.target.update.policy != "rolling" and found.mode != "components"
        facts = quotas.look(
            self.account.region, found.machine.type, peak, peak * 2 if beside else peak
        )
        yield from quotas.check(facts)

    def _capacity(self) -> Iterator[Finding]:
        found, names = self._deployment, self._deployer.names
        if found.mode == "serverless":
            return
        component = f"inference-component/{names.base}"
        variant = f"endpoint/{names.main}/variant/{VARIANT}"
        scaled = component if found.mode == "components" else variant
        facts = capacity.look(self.account, found.machine.type, (scaled,))
        yield from capacity.check(facts)

    def _network(self) -> Iterator[Finding]:
        target, domain = self.manifest.target.network, self._domain
        subnets = target.subnets or (domain.subnets if domain else ())
        groups = target.security_groups or (domain.security_groups if domain else ())
        if not subnets:
            says = "containers stand in SageMaker's own network, or in one that is made"
            yield good("network.subnets", says, "manifest")
            return
        found = self._deployment
        from_hub = found.artifact is None
        facts = network.look(self.account, subnets, groups, found.machine.type, from_hub)
        yield from network.check(facts)

    def _image(self) -> Iterator[Finding]:
        found = self._deployment
        facts = image.look(
            self.account, found.image, found.inference_ami, has_gpu=found.machine.gpus > 0
        )
        yield from image.check(facts)

    def _model(self) -> Iterator[Finding]:
        artifact, target = self._deployment.artifact, self.manifest.target
        if artifact is not None and artifact.uri:
            facts = model.stored(self.account, "the model", artifact.uri)
            yield from model.check_stored(facts, self.account.region)
        elif artifact is None:
            token = target.hub_token is not None
            yield from model.check_hub(model.on_hub(self.manifest.model.id, has_token=token))
        else:
            yield good("model.files", "the model's files are here and are uploaded", "model.id")
        for name, place in self.manifest.adapters.items():
            if place.startswith("s3://"):
                facts = model.stored(self.account, f"the adapter {name}", place)
                yield from model.check_stored(facts, self.account.region)
        if target.hub_token is not None:
            yield from model.check_token(self.account, parse(target.hub_token).name)

    def _sizes(self) -> Iterator[Finding]:
        found = self._deployment
        if found.mode == "serverless":
            return
        known, disk_gb, ram_gib = sizes.machine_facts(self.account, found.machine.type)
        artifact = found.artifact
        yield from sizes.check(
            sizes.Facts(
                self._weights_gib(),
                artifact is not None and artifact.is_archive,
                found.machine.type,
                known,
                disk_gb,
                ram_gib,
                DOWNLOAD_S,
                self.manifest.target.copy_memory_mib if found.mode == "components" else None,
            )
        )

    def _weights_gib(self) -> float | None:
        try:
            shape = find_shape(self.manifest, load_catalogue(), self._deployer.hub_cache)
        except UserError:
            return None
        return shape.parameters * shape.native_bits / 8 / 2**30

    def _wreck(self) -> Iterator[Finding]:
        deployer = self._deployer
        names = (deployer.names.base, deployer.names.main)
        facts = wreck.look(
            deployer.stacks, deployer.hosting, deployer.logs, names, deployer.names.log_groups
        )
        if not facts.is_there:
            yield good("deployment.stack", "nothing is deployed yet", f"no stack {names[-1]}")
            return
        yield from wreck.check(facts)

    def _alarms(self) -> Iterator[Finding]:
        deployer = self._deployer
        if deployer.hosting.find(deployer.names.main) is None:
            return
        asleep = self.manifest.scale.min == 0 and self.manifest.target.mode == "components"
        facts = alarms.look(self.account, deployer.names.main, scales_to_zero=asleep)
        yield from alarms.check(facts)


def require_role(deployer: Deployer, tell: Tell) -> None:
    """See that an execution role that exists already can run the containers.

    Raises:
        CloudError: it cannot, with the policy that it lacks.
    """
    patient = Patient(deployer)
    if not patient.has_own_role:
        return
    for finding in examine({"permissions.execution": patient.execution_permissions}):
        if finding.verdict is Verdict.UNKNOWN:
            tell(f"the execution role was not looked at: {finding.says}: {finding.evidence}")
        elif finding.verdict is Verdict.FAILED:
            policy = f"\n{json.dumps(finding.policy, indent=2)}\n" if finding.policy else ""
            raise CloudError(finding.says, why=finding.evidence, fix=f"{finding.fix}{policy}")


def _statements(policy: Mapping[str, object]) -> list[Statement]:
    found = policy["Statement"]
    return list(found) if isinstance(found, list) else []


def _named(arn: str, account: str, region: str) -> str:
    """A pattern of ARNs, for this account and region."""
    parts = arn.split(":", 5)
    if len(parts) < 6:
        return arn
    parts[3] = region if parts[3] == "*" else parts[3]
    parts[4] = account if parts[4] == "*" else parts[4]
    return ":".join(parts)
