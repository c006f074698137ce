"""What the acts of a rehearsal need of the account: clients, orders, tokens."""

import base64
import json
import time
import urllib.request
from collections.abc import Callable
from typing import Any
from urllib.error import HTTPError

import boto3
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from penstock.ground.errors import PenstockError

Tell = Callable[[str, str], None]
PATIENCE_S, POLL_S = 60.0, 0.1


class Stage:
    """The rehearsed account; `tell(act, text)` hears what happens."""

    def __init__(self, said: dict[str, Any], tell: Tell) -> None:
        self.url, self.region, self.tell = said["url"], said["region"], tell
        self._keys = Credentials(said["access_key"], said["secret_key"])
        self._session = boto3.Session(said["access_key"], said["secret_key"])
        self._clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        """Return an unmodified boto3 client."""
        if service not in self._clients:
            self._clients[service] = self._session.client(
                service, region_name=self.region, endpoint_url=self.url
            )
        return self._clients[service]

    def close(self) -> None:
        """Close every connection."""
        for client in self._clients.values():
            client.close()

    def order(self, name: str, wish: Any = None) -> Any:
        """Give the stand-in an order, or ask it something."""
        body = None if wish is None else json.dumps(wish).encode()
        with urllib.request.urlopen(f"{self.url}/_rehearsal/{name}", body) as answer:  # noqa: S310
            return json.load(answer)

    def chat(self, endpoint: str, component: str, words: str) -> tuple[int, str]:
        """Ask by SageMaker's OpenAI route; returns the status and the answer or the reason."""
        path = f"/endpoints/{endpoint}/inference-components/{component}/openai/v1/chat/completions"
        wish = {
            "model": "",
            "messages": [{"role": "user", "content": words}],
            "max_tokens": 12,
            "temperature": 0,
        }
        request = urllib.request.Request(  # noqa: S310  loopback
            self.url + path,
            json.dumps(wish).encode(),
            {"Content-Type": "application/json", "Authorization": f"Bearer {self._token()}"},
        )
        try:
            with urllib.request.urlopen(request) as answer:  # noqa: S310
                said = json.load(answer)
            return 200, str(said["choices"][0]["message"]["content"])
        except HTTPError as error:
            with error:
                said = json.load(error)
                return error.code, str(said.get("error", said).get("message"))

    def wait(self, what: str, look: Callable[[], bool]) -> None:
        """Look until it is so; raises PenstockError when it does not come."""
        until = time.monotonic() + PATIENCE_S
        while not look():
            if time.monotonic() > until:
                raise PenstockError(f"{what} did not come in {PATIENCE_S:.0f} s")
            time.sleep(POLL_S)

    def _token(self) -> str:
        request = AWSRequest(
            "POST",
            "https://sagemaker.amazonaws.com/",
            params={"Action": "CallWithBearerToken"},
            headers={"host": "sagemaker.amazonaws.com"},
        )
        SigV4QueryAuth(self._keys, "sagemaker", self.region, expires=3600).add_auth(request)
        url = str(request.url).removeprefix("https://") + "&Version=1"
        return "sagemaker-api-key-" + base64.b64encode(url.encode()).decode()
