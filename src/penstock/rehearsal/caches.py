"""ElastiCache's serverless caches, which moto does not have; no server runs behind them."""

from typing import Any

from penstock.rehearsal.cloud import Cloud, now
from penstock.rehearsal.refusals import AwsError

Parameters = dict[str, Any]


class Caches:
    """The operations on serverless caches."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self.caches: dict[str, Parameters] = {}

    def create_serverless_cache(self, given: Parameters) -> Parameters:
        """Remember a cache."""
        name = given["ServerlessCacheName"]
        if name in self.caches:
            raise AwsError(
                "ServerlessCacheAlreadyExistsFault", f"Serverless cache {name} already exists"
            )
        host = f"{name}.serverless.{self._cloud.region}.cache.amazonaws.com"
        known = ("Engine", "SubnetIds", "SecurityGroupIds", "KmsKeyId", "Description")
        self.caches[name] = {
            **{key: given[key] for key in known if key in given},
            "ServerlessCacheName": name,
            "ARN": self._cloud.arn("elasticache", f"serverlesscache:{name}"),
            "Status": "available",
            "CreateTime": now(),
            "Endpoint": {"Address": host, "Port": 6379},
            "ReaderEndpoint": {"Address": host, "Port": 6380},
        }
        return {"ServerlessCache": self.caches[name]}

    def describe_serverless_caches(self, given: Parameters) -> Parameters:
        """Return one cache or all."""
        name = given.get("ServerlessCacheName")
        if name:
            return {"ServerlessCaches": [self._cache(name)]}
        return {"ServerlessCaches": list(self.caches.values())}

    def delete_serverless_cache(self, given: Parameters) -> Parameters:
        """Forget a cache."""
        cache = self._cache(given["ServerlessCacheName"])
        del self.caches[cache["ServerlessCacheName"]]
        return {"ServerlessCache": {**cache, "Status": "deleting"}}

    def _cache(self, name: str) -> Parameters:
        if name not in self.caches:
            raise AwsError("ServerlessCacheNotFoundFault", f"Serverless cache {name} not found")
        return self.caches[name]
