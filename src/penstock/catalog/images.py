"""Container images of AWS for SageMaker: dated, sourced, by region.

A tag or a driver image that could not be confirmed says so in its `note`; `target.image` and
`target.inference_ami` override both.
"""

import json
from dataclasses import dataclass

from penstock.catalog.catalogue import dated, read_data
from penstock.catalog.records import Dated
from penstock.ground.errors import UserError


@dataclass(frozen=True, slots=True)
class Image:
    """A container image: `inference_ami` is the system image whose GPU driver it needs.

    `note` says what could not be confirmed; `caution` is for whoever is about to deploy it.
    """

    engine: str
    repository: str
    tag: str
    inference_ami: str
    note: str
    caution: str
    dated: Dated
    accounts: tuple[tuple[str, str], ...]

    def uri(self, region: str) -> str:
        """The image's address in ECR: each region is served by an account of AWS's own."""
        accounts = dict(self.accounts)
        account = accounts.get(region, accounts["default"])
        suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
        return f"{account}.dkr.ecr.{region}.{suffix}/{self.repository}:{self.tag}"


def registries() -> frozenset[str]:
    """The accounts that AWS serves its images from."""
    return frozenset(json.loads(read_data("images"))["registries"].values())


def image_of(engine: str) -> Image:
    """The image of `engine`.

    Raises:
        UserError: AWS has none.
    """
    data = json.loads(read_data("images"))
    accounts = tuple(sorted(data["registries"].items()))
    for row in data["images"]:
        if row["engine"] == engine:
            names = ("engine", "repository", "tag", "inference_ami", "note")
            known = {name: row[name] for name in names}
            caution = row.get("caution", "")
            return Image(**known, caution=caution, dated=dated(row), accounts=accounts)
    raise UserError(
        f"there is no container image of AWS for engine.kind {engine}",
        fix="Set target.image to one of yours.",
    )
