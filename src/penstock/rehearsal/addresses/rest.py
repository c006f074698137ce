"""API Gateway's REST APIs, answered in process: keys, usage plans, and Lambda behind them.

What a stage serves is what the API has now: a deployment is no snapshot here.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from werkzeug.wrappers import Request

from penstock.rehearsal.addresses.events import Asked, Malformed, answer, event
from penstock.rehearsal.addresses.meters import Meters
from penstock.rehearsal.addresses.passing import Unreachable, pass_on
from penstock.rehearsal.cloud import Cloud
from penstock.rehearsal.functions.running import FunctionFailed, Functions
from penstock.rehearsal.service import Answer

NAMESPACE = "AWS/ApiGateway"
BUFFERED_S, STREAMED_S = 29.0, 900.0
LARGEST_BYTES = 6 * 2**20
"""What Lambda returns at most where nothing is streamed."""
_FUNCTION = re.compile(r".*/functions/(?P<arn>arn:[^/]+)/(?P<how>[a-z-]+)$")
REFUSALS = {
    "MISSING_AUTHENTICATION_TOKEN": (403, "Missing Authentication Token"),
    "INVALID_API_KEY": (403, "Forbidden"),
    "THROTTLED": (429, "Too Many Requests"),
    "QUOTA_EXCEEDED": (429, "Limit Exceeded"),
    "INTEGRATION_FAILURE": (504, "Network error communicating with endpoint"),
    "INTEGRATION_TIMEOUT": (504, "Endpoint request timed out"),
    "API_CONFIGURATION_ERROR": (500, "Internal server error"),
    "DEFAULT_5XX": (502, "Internal server error"),
}
ERROR_TYPES = {
    "INVALID_API_KEY": "ForbiddenException",
    "MISSING_AUTHENTICATION_TOKEN": "MissingAuthenticationTokenException",
    "THROTTLED": "TooManyRequestsException",
    "QUOTA_EXCEEDED": "LimitExceededException",
}
Told = dict[str, Any]


class Refused(Exception):
    """The gateway itself answers; `kind` is its gateway response."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


class RestApis:
    """Answers for every REST API of the account."""

    def __init__(self, cloud: Cloud, functions: Functions) -> None:
        self._cloud, self._functions = cloud, functions
        self._meters = Meters()

    def ids(self) -> set[str]:
        """Return the ids of the APIs."""
        return {each["id"] for each in self._client().get_rest_apis()["items"]}

    def host(self, api: str) -> str:
        """Return the host under which an API is called."""
        return f"{api}.execute-api.{self._cloud.region}.amazonaws.com"

    def answer(self, api: str, path: str, request: Request) -> Answer:
        """Answer a request to an API; the path begins with the stage."""
        stage, _, rest = path.lstrip("/").partition("/")
        try:
            settings = self._stage(api, stage)
            asked, method = self._match(api, stage, f"/{rest}", request.method)
            if method.get("apiKeyRequired"):
                asked = replace(asked, key=self._admit(asked, request))
            self._throttle_stage(asked, settings)
            said = self._integrate(asked, method["methodIntegration"], request)
        except Refused as refused:
            said = self._refuse(api, refused.kind)
        self._count(api, stage, said.status)
        return said

    def _stage(self, api: str, stage: str) -> Told:
        client = self._client()
        try:
            return dict(client.get_stage(restApiId=api, stageName=stage))
        except client.exceptions.NotFoundException as error:
            raise Refused("INVALID_API_KEY") from error

    def _match(self, api: str, stage: str, path: str, verb: str) -> tuple[Asked, Told]:
        """Return the most fitting resource's method: fixed parts before variable ones."""
        client = self._client()
        resources = client.get_resources(restApiId=api, limit=500)["items"]
        found = []
        for each in resources:
            variables = _fit(each["path"], path)
            methods = each.get("resourceMethods", {})
            name = verb if verb in methods else "ANY"
            if variables is not None and name in methods:
                found.append((each["path"].count("{"), "+" in each["path"], each, variables, name))
        if not found:
            raise Refused("MISSING_AUTHENTICATION_TOKEN")
        _, _, resource, variables, name = min(found, key=lambda each: each[:2])
        method = client.get_method(restApiId=api, resourceId=resource["id"], httpMethod=name)
        return Asked(api, stage, path, resource["path"], variables), dict(method)

    def _admit(self, asked: Asked, request: Request) -> str:
        """Return the id of the request's key, which a usage plan of the stage must have."""
        client, given = self._client(), request.headers.get("x-api-key", "")
        keys = client.get_api_keys(includeValues=True)["items"]
        key = next((e for e in keys if given and e["value"] == given and e["enabled"]), None)
        if key is None:
            raise Refused("INVALID_API_KEY")
        here = {"apiId": asked.api, "stage": asked.stage}
        for plan in client.get_usage_plans(keyId=key["id"])["items"]:
            if any({k: each.get(k) for k in here} == here for each in plan.get("apiStages", ())):
                self._meter(f"{plan['id']} {key['id']}", plan)
                return str(key["id"])
        raise Refused("INVALID_API_KEY")

    def _meter(self, name: str, plan: Told) -> None:
        throttle = plan.get("throttle") or {}
        if throttle and not self._meters.flows(
            name, float(throttle["rateLimit"]), int(throttle["burstLimit"])
        ):
            raise Refused("THROTTLED")
        if not self._meters.within(name, plan.get("quota") or {}):
            raise Refused("QUOTA_EXCEEDED")

    def _throttle_stage(self, asked: Asked, settings: Told) -> None:
        wish = settings.get("methodSettings", {}).get("*/*", {})
        rate, burst = wish.get("throttlingRateLimit"), wish.get("throttlingBurstLimit")
        name = f"{asked.api} {asked.stage}"
        if rate and burst and not self._meters.flows(name, float(rate), int(burst)):
            raise Refused("THROTTLED")

    def _integrate(self, asked: Asked, integration: Told, request: Request) -> Answer:
        if integration["type"] == "MOCK":
            told = integration.get("integrationResponses", {}).get("200", {})
            body = (told.get("responseTemplates") or {}).get("application/json", "")
            return Answer(200, {"Content-Type": "application/json"}, body.encode())
        found = _FUNCTION.match(integration.get("uri", ""))
        if integration["type"] != "AWS_PROXY" or found is None:
            raise Refused("API_CONFIGURATION_ERROR")
        self._require_permission(found["arn"])
        streamed = found["how"] == "response-streaming-invocations"
        most_s = STREAMED_S if streamed else BUFFERED_S
        limit_s = min(integration.get("timeoutInMillis", most_s * 1000) / 1000, most_s)
        try:
            return self._call(asked, found["arn"], request, limit_s, streamed=streamed)
        except Unreachable as error:
            kind = "INTEGRATION_TIMEOUT" if "timed out" in str(error) else "DEFAULT_5XX"
            raise Refused(kind) from error
        except (FunctionFailed, Malformed) as error:
            raise Refused("DEFAULT_5XX") from error

    def _call(
        self, asked: Asked, arn: str, request: Request, limit_s: float, *, streamed: bool
    ) -> Answer:
        running = self._functions.running(arn)
        limit_s = min(limit_s, running.timeout_s)
        if not running.speaks_http:
            handed = Request.from_values(method="POST", json=event(asked, request))
            said = pass_on(handed, running.port, "/", {}, timeout_s=limit_s)
            return answer(_whole(said)) if said.status == 200 else self._failed(said)
        said = pass_on(request, running.port, asked.path, {}, timeout_s=limit_s)
        if streamed and running.streams:
            return said
        whole = _whole(said)
        if len(whole) > LARGEST_BYTES:
            raise Malformed("the answer is larger than 6 MB")
        return Answer(said.status, said.headers, whole)

    def _failed(self, said: Answer) -> Answer:
        _whole(said)
        raise Refused("DEFAULT_5XX")

    def _require_permission(self, arn: str) -> None:
        client = self._cloud.client("lambda")
        try:
            policy = client.get_policy(FunctionName=arn)["Policy"]
        except client.exceptions.ResourceNotFoundException as error:
            raise Refused("API_CONFIGURATION_ERROR") from error
        if "apigateway.amazonaws.com" not in policy:
            raise Refused("API_CONFIGURATION_ERROR")

    def _refuse(self, api: str, kind: str) -> Answer:
        status, words = REFUSALS[kind]
        body = f'{{"message":"{words}"}}'
        headers: Mapping[str, str] = {
            "Content-Type": "application/json",
            "x-amzn-ErrorType": ERROR_TYPES.get(kind, "InternalServerErrorException"),
        }
        client = self._client()
        for each in client.get_gateway_responses(restApiId=api)["items"]:
            if each["responseType"] == kind:
                status = int(each.get("statusCode", status))
                template = (each.get("responseTemplates") or {}).get("application/json", body)
                body = template.replace("$context.error.messageString", f'"{words}"')
        return Answer(status, headers, body.encode())

    def _count(self, api: str, stage: str, status: int) -> None:
        name = next(e["name"] for e in self._client().get_rest_apis()["items"] if e["id"] == api)
        put = self._cloud.metrics.put
        for dimensions in ({"ApiName": name}, {"ApiName": name, "Stage": stage}):
            put(NAMESPACE, "Count", dimensions, 1)
            put(NAMESPACE, "4XXError", dimensions, float(400 <= status < 500))
            put(NAMESPACE, "5XXError", dimensions, float(status >= 500))

    def _client(self) -> Any:
        return self._cloud.client("apigateway")


def _fit(pattern: str, path: str) -> dict[str, str] | None:
    """Return the variables of a resource's path where it fits; none where it does not."""
    text = re.escape(pattern).replace(r"\{", "{").replace(r"\}", "}").replace(r"\+", "+")
    text = re.sub(r"{(\w+)\+}", r"(?P<\1>.+)", text)
    text = re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", text)
    found = re.fullmatch(text, path.rstrip("/") or "/")
    return found.groupdict() if found else None


def _whole(said: Answer) -> bytes:
    return said.body if isinstance(said.body, bytes) else b"".join(said.body)
