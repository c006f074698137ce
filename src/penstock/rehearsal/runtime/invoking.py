"""SageMaker's runtime: requests go to the engines behind an endpoint, and are counted."""

import http.client
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from werkzeug.wrappers import Request

from penstock.rehearsal.cloud import Cloud, unique
from penstock.rehearsal.copies import Copies
from penstock.rehearsal.dialects.containers import kind_of
from penstock.rehearsal.dialects.wire import JSON, Asked, Unreadable, ask, say, say_streamed
from penstock.rehearsal.permissions.actions import Need
from penstock.rehearsal.permissions.watch import Watch
from penstock.rehearsal.refusals import AwsError
from penstock.rehearsal.runtime import bearer, eventstream
from penstock.rehearsal.runtime.openai import openai_refusal, quoted_refusal
from penstock.rehearsal.runtime.routes import Route
from penstock.rehearsal.sagemaker.records import Endpoint, Estate
from penstock.rehearsal.service import Answer, json_refusal

NAMESPACE = "AWS/SageMaker"
COMPONENT_HEADER = "X-Amzn-SageMaker-Inference-Component"
VARIANT_HEADER = "X-Amzn-SageMaker-Target-Variant"
MOST_BYTES = 25 * 2**20
CHUNK, UNREADABLE = 65536, 422
ASYNC_POLL_S = 10.0
NO_CAPACITY = (
    "Inference Component has no capacity to process this request. ApplicationAutoScaling may be "
    "in-progress (if configured) or try to increase the capacity by invoking "
    "UpdateInferenceComponentRuntimeConfig API."
)


@dataclass(frozen=True, slots=True)
class Goal:
    """The engines a request goes to, the adapter it asks for, and how it is measured.

    A request to a component is counted under the name that it asked for, and nowhere else.
    """

    copies: Copies
    adapter: str
    variant: dict[str, str]
    measured: dict[str, str]
    base: dict[str, str]


class Runtime:
    """Invocations, plain, streamed, asynchronous, and OpenAI's route."""

    def __init__(self, cloud: Cloud, estate: Estate, watch: Watch) -> None:
        self._cloud, self._estate, self._watch = cloud, estate, watch

    def answer(self, route: Route, request: Request) -> Answer:
        """Answer a request to the runtime."""
        if route.how == "openai":
            try:
                return self._openai(route, request)
            except AwsError as error:
                denied = error.status == 403  # who may ask is seen before what is asked
                return json_refusal(error) if denied else openai_refusal(error)
        try:
            self._require_signature(request)
            if self._cloud.faults.take("throttling", service="sagemaker-runtime"):
                raise AwsError("ThrottlingException", "Rate exceeded", status=429)
            if route.how == "async-invocations":
                return self._begin_async(route, request)
            return self._invoke(route, request)
        except AwsError as error:
            return json_refusal(error)

    def _openai(self, route: Route, request: Request) -> Answer:
        signer = bearer.check(
            request.headers.get("Authorization", ""),
            self.secret_of,
            datetime.now(UTC),
            self._cloud.region,
        )
        self._require_bearer(signer, route.endpoint)
        if self._cloud.faults.take("throttling", service="sagemaker-runtime"):
            raise AwsError("ThrottlingException", "Rate exceeded", status=429)
        if route.path != "/v1/chat/completions":
            raise AwsError("ResourceNotFoundException", f"no route {route.path}", status=404)
        goal = self._goal(route.endpoint, route.component, "")
        wish = _parse(request)
        if goal.adapter:
            wish["model"] = goal.adapter
        return self._pass(goal, route.path, json.dumps(wish).encode(), {})

    def _invoke(self, route: Route, request: Request) -> Answer:
        goal = self._goal(
            route.endpoint,
            request.headers.get(COMPONENT_HEADER, ""),
            request.headers.get(VARIANT_HEADER, ""),
        )
        body = request.get_data()
        if len(body) > MOST_BYTES:
            raise AwsError("ValidationError", "the body is larger than 25 MB", status=400)
        headers = {"X-Amzn-Invoked-Production-Variant": goal.variant["VariantName"]}
        answer = self._pass(goal, "/invocations", body, headers)
        if route.how == "invocations" or answer.status != 200:
            return answer
        streamed = {
            "Content-Type": eventstream.CONTENT_TYPE,
            "X-Amzn-SageMaker-Content-Type": answer.headers["Content-Type"],
            **headers,
        }
        whole = [answer.body] if isinstance(answer.body, bytes) else answer.body
        broken = self._cloud.faults.take("stream", name=route.endpoint) is not None
        return Answer(200, streamed, _events(iter(whole), broken=broken))

    def _pass(self, goal: Goal, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        engine = goal.copies.next()
        if engine is None:
            self._count("NoCapacityInvocationFailures", goal.measured, 1)
            raise AwsError("ValidationError", NO_CAPACITY, status=400)
        self._count("ConcurrentRequestsPerCopy", goal.base, goal.copies.count(1))
        self._count("ConcurrentRequestsPerModel", goal.variant, goal.copies.in_flight)
        self._count("Invocations", goal.measured, 1)
        begin, connection = time.monotonic(), engine.connect()
        sent = {"Content-Type": "application/json"}
        if goal.adapter:
            sent["X-Amzn-SageMaker-Adapter-Identifier"] = goal.adapter
        try:
            asked = self._asked(goal, path, body)
            connection.request("POST", asked.path, asked.body, sent)
            answer = connection.getresponse()
        except Unreadable as error:
            connection.close()
            return self._model_error(goal, begin, UNREADABLE, str(error).encode(), path)
        except OSError as error:
            connection.close()
            self._over(goal, begin, 503)
            raise AwsError(
                "InternalServerException", f"the container is gone: {error}", status=503
            ) from error
        if answer.status >= 400:
            said = answer.read()
            connection.close()
            return self._model_error(goal, begin, answer.status, said, path)
        kind = answer.getheader("Content-Type") or "application/json"
        chunks = self._carry(goal, begin, answer, connection)
        if asked.streams:
            told = {"Content-Type": asked.content_type, **headers}
            return Answer(200, told, say_streamed(asked, chunks))
        if asked.dialect:
            return Answer(200, {"Content-Type": JSON, **headers}, say(asked, b"".join(chunks)))
        return Answer(200, {"Content-Type": kind, **headers}, chunks)

    def _asked(self, goal: Goal, path: str, body: bytes) -> Asked:
        if path != "/invocations":
            return Asked(path, body, streams=False)
        kind = kind_of(goal.copies.image)
        return ask(kind, body, goal.copies.environment, goal.adapter)

    def _carry(
        self,
        goal: Goal,
        begin: float,
        answer: http.client.HTTPResponse,
        connection: http.client.HTTPConnection,
    ) -> Iterator[bytes]:
        try:
            while chunk := answer.read1(CHUNK):
                yield chunk
        finally:
            connection.close()
            self._over(goal, begin, answer.status)

    def _model_error(
        self, goal: Goal, begin: float, status: int, body: bytes, path: str
    ) -> Answer:
        self._over(goal, begin, status)
        if path != "/invocations":
            return quoted_refusal(status, body.decode(errors="replace"), self._cloud.account)
        said = {
            "__type": "ModelError",
            "Message": f"Received client error ({status}) from primary with message "
            f'"{body.decode(errors="replace")}".',
            "OriginalStatusCode": status,
            "OriginalMessage": body.decode(errors="replace"),
        }
        headers = {"Content-Type": "application/json", "x-amzn-ErrorType": "ModelError"}
        return Answer(424, headers, json.dumps(said).encode())

    def _over(self, goal: Goal, begin: float, status: int) -> None:
        goal.copies.count(-1)
        self._count("ModelLatency", goal.measured, (time.monotonic() - begin) * 1e6)
        self._count("Invocation4XXErrors", goal.measured, float(400 <= status < 500))
        self._count("Invocation5XXErrors", goal.measured, float(status >= 500))

    def _begin_async(self, route: Route, request: Request) -> Answer:
        endpoint = self._endpoint(route.endpoint)
        config = self._estate.configs[endpoint.config].spec.get("AsyncInferenceConfig")
        if config is None:
            raise AwsError("ValidationError", f"Endpoint {endpoint.name} is not asynchronous")
        source = request.headers.get("X-Amzn-SageMaker-InputLocation", "")
        if not source.startswith("s3://"):
            raise AwsError("ValidationError", "InputLocation must be an s3:// URI")
        number = request.headers.get("X-Amzn-SageMaker-Inference-Id") or unique(32)
        output = config["OutputConfig"]
        target = f"{output['S3OutputPath'].rstrip('/')}/{number}.out"
        failure = f"{output.get('S3FailurePath', output['S3OutputPath']).rstrip('/')}/{number}.err"
        work = _Async(number, source, target, failure, output.get("NotificationConfig", {}))
        endpoint.backlog = (endpoint.backlog or 0) + 1
        threading.Thread(target=self._work_async, args=(endpoint, work), daemon=True).start()
        headers = {
            "Content-Type": "application/json",
            "X-Amzn-SageMaker-OutputLocation": target,
            "X-Amzn-SageMaker-FailureLocation": failure,
        }
        return Answer(202, headers, json.dumps({"InferenceId": number}).encode())

    def _work_async(self, endpoint: Endpoint, work: "_Async") -> None:
        s3 = self._cloud.client("s3")
        bucket, _, key = work.source.removeprefix("s3://").partition("/")
        try:
            body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
            goal = self._wait_for_capacity(endpoint)
            answer = self._pass(goal, "/invocations", body, {})
            whole = answer.body if isinstance(answer.body, bytes) else b"".join(answer.body)
            good = answer.status == 200
        except s3.exceptions.ClientError as error:
            whole, good = str(error).encode(), False
        except AwsError as error:
            whole, good = error.message.encode(), False
        endpoint.backlog = (endpoint.backlog or 1) - 1
        place = work.target if good else work.failure
        bucket, _, key = place.removeprefix("s3://").partition("/")
        s3.put_object(Bucket=bucket, Key=key, Body=whole)
        if topic := work.topics.get("SuccessTopic" if good else "ErrorTopic"):
            said = {
                "invocationStatus": "Completed" if good else "Failed",
                "inferenceId": work.number,
                "requestParameters": {
                    "endpointName": endpoint.name,
                    "inputLocation": work.source,
                },
                "responseParameters": {"outputLocation": place},
            }
            self._cloud.client("sns").publish(TopicArn=topic, Message=json.dumps(said))

    def _wait_for_capacity(self, endpoint: Endpoint) -> Goal:
        while True:
            goal = self._goal(endpoint.name, "", "")
            if len(goal.copies):
                return goal
            self._cloud.clock.sleep(ASYNC_POLL_S)

    def _goal(self, endpoint_name: str, component_name: str, variant_name: str) -> Goal:
        endpoint = self._endpoint(endpoint_name)
        if not component_name:
            variant = endpoint.variants.get(variant_name) or next(iter(endpoint.variants.values()))
            if not variant.spec.get("ModelName"):
                raise AwsError("ValidationError", "Inference Component Name header is required")
            dimensions = {"EndpointName": endpoint.name, "VariantName": variant.name}
            return Goal(variant.copies, "", dimensions, dimensions, dimensions)
        component = self._estate.components.get(component_name)
        if component is None or component.endpoint != endpoint.name:
            raise AwsError("ValidationError", f"Inference Component {component_name} not found")
        if component.status not in {"InService", "Updating"}:
            raise AwsError("ValidationError", f"{component_name} is {component.status}")
        base = self._estate.components[component.base] if component.base else component
        assert base.copies is not None  # noqa: S101  a base has copies
        return Goal(
            base.copies,
            component.name if component.base else "",
            {"EndpointName": endpoint.name, "VariantName": component.variant},
            {"InferenceComponentName": component.name},
            {"InferenceComponentName": base.name},
        )

    def _endpoint(self, name: str) -> Endpoint:
        endpoint = self._estate.endpoints.get(name)
        if endpoint is None:
            raise AwsError(
                "ValidationError", f"Endpoint {name} of account {self._cloud.account} not found."
            )
        if not endpoint.variants:
            raise AwsError(
                "ValidationError",
                f"Endpoint {name} of account {self._cloud.account} is not InService.",
            )
        return endpoint

    def _count(self, name: str, dimensions: dict[str, str], value: float) -> None:
        self._cloud.metrics.put(NAMESPACE, name, dimensions, value)

    def _require_signature(self, request: Request) -> None:
        if "/sagemaker/aws4_request" not in request.headers.get("Authorization", ""):
            raise AwsError(
                "MissingAuthenticationTokenException", "Missing Authentication Token", status=403
            )
        if self._cloud.enforces:
            self._watch.check("sagemaker-runtime", request)

    def _require_bearer(self, signer: str, endpoint: str) -> None:
        wanted = (
            Need("sagemaker:CallWithBearerToken", "*"),
            Need("sagemaker:InvokeEndpoint", self._cloud.arn("sagemaker", f"endpoint/{endpoint}")),
        )
        if self._cloud.enforces and not self._watch.allows(signer, wanted):
            raise AwsError(
                "AccessDeniedException",
                "the signer may not sagemaker:CallWithBearerToken, or not "
                f"sagemaker:InvokeEndpoint on {endpoint}",
                status=403,
            )

    def secret_of(self, access_key: str) -> str | None:
        """Return the secret of an access key; none where nobody has it."""
        principal = self._watch.principals.of_key(access_key)
        return principal.secret if principal else None


@dataclass(frozen=True, slots=True)
class _Async:
    number: str
    source: str
    target: str
    failure: str
    topics: dict[str, str]


def _parse(request: Request) -> dict[str, Any]:
    try:
        wish = json.loads(request.get_data())
    except ValueError as error:
        raise AwsError("ValidationError", f"the body is not JSON: {error}") from error
    if not isinstance(wish, dict):
        raise AwsError("ValidationError", "the body is not a JSON object")
    return wish


def _events(chunks: Iterator[bytes], *, broken: bool) -> Iterator[bytes]:
    try:
        for chunk in chunks:
            yield eventstream.part(chunk)
            if broken:
                said = {"ErrorCode": "ModelInvocationTimeExceeded", "Message": "the model stopped"}
                yield eventstream.fault("ModelStreamError", json.dumps(said).encode())
                return
    finally:
        close = getattr(chunks, "close", None)
        if close:
            close()
