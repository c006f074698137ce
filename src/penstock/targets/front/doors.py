"""Finding a deployed gateway's address, and the keys that open it."""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from penstock.manifest.model import Manifest
from penstock.plan.carrying_out import Tell
from penstock.targets.aws.account import Account
from penstock.targets.aws.refusals import FORBIDDEN, aws_errors, code_of
from penstock.targets.front.questions import Door
from penstock.targets.front.rest import plan_title
from penstock.targets.front.scene import UI, GatewayFiles

Resources = Callable[[], Mapping[str, tuple[str, str]]]
"""Type and physical id of the main stack's resources, by name."""


class Doors:
    """The doors of one deployment's gateway."""

    def __init__(
        self,
        account: Account,
        manifest: Manifest,
        files: GatewayFiles,
        outputs: Callable[[], Mapping[str, str]],
        resources: Resources,
    ) -> None:
        self._account, self._manifest, self._files = account, manifest, files
        self._outputs, self._resources = outputs, resources

    def find(self, tell: Tell, via: str = "") -> Door | None:
        """The first tenant's door; none where this machine cannot ask, which is told.

        `via` is where names that only a rehearsal knows are reached: `{via}/HOST/...`.
        """
        tenants = [name for name in self._files.tenants if name != UI]
        url = self._outputs().get("GatewayUrl", "").rstrip("/")
        if not tenants:
            tell("no tenant has a key: the gateway is not asked")
            return None
        if self._manifest.front.internal and not via:
            tell(f"{url} is reached from inside the network alone: it is not asked from here")
            return None
        headers = self._headers(tenants[0], tell)
        if headers is None:
            return None
        return Door(_by_way_of(url, via), self._manifest.served_model, headers)

    def _headers(self, tenant: str, tell: Tell) -> dict[str, str] | None:
        try:
            headers = {"Authorization": f"Bearer {self._secret(tenant)}"}
            if self._manifest.front.kind == "rest":
                headers["x-api-key"] = self._usage_key(tenant)
        except ClientError as error:
            if code_of(error) not in FORBIDDEN:
                with aws_errors("Secrets Manager"):
                    raise
            tell(f"the key of {tenant} may not be read: the gateway is not asked")
            return None
        return headers

    def _secret(self, tenant: str) -> str:
        client: Any = self._account.client("secretsmanager")
        told = client.get_secret_value(SecretId=f"{self._files.prefix}{tenant}")
        return str(told["SecretString"])

    def _usage_key(self, tenant: str) -> str:
        client: Any = self._account.client("apigateway")
        _, name = self._resources()[f"{plan_title(tenant)}Key"]
        return str(client.get_api_key(apiKey=name, includeValue=True)["value"])


def _by_way_of(url: str, via: str) -> str:
    if not via:
        return url
    parts = urlsplit(url)
    return f"{via.rstrip('/')}/{parts.netloc}{parts.path}"
