"""Data keys from AWS KMS: the key that wraps them never leaves it."""

import base64
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from penstock.ground.errors import StoreUnavailable, UserError
from penstock.registry.audit.sealing import Envelope

_NOT_OURS = ("InvalidCiphertextException", "IncorrectKeyException", "NotFoundException")
_CONTEXT = {"penstock": "audit"}


class KmsKey:
    """Wraps data keys with a key of KMS. Satisfies `sealing.KeyWrapper`."""

    def __init__(self, key: str) -> None:
        """`key` is an id, ARN or alias; nothing is asked yet."""
        self._key = key
        timeouts = Config(
            connect_timeout=5, read_timeout=10, retries={"mode": "standard", "max_attempts": 3}
        )
        self._client: Any = boto3.client("kms", config=timeouts)

    def make(self) -> Envelope:
        """KeyWrapper: make a data key.

        Raises:
            StoreUnavailable: KMS cannot be asked, or refuses.
        """
        try:
            made = self._client.generate_data_key(
                KeyId=self._key, KeySpec="AES_256", EncryptionContext=_CONTEXT
            )
        except (BotoCoreError, ClientError) as error:
            raise StoreUnavailable("no data key can be had of KMS", why=str(error)) from None
        wrapped = base64.b64encode(made["CiphertextBlob"]).decode()
        return Envelope(made["Plaintext"], {"by": "kms", "id": made["KeyId"], "wrapped": wrapped})

    def open(self, header: dict[str, str]) -> bytes:
        """KeyWrapper: open one.

        Raises:
            UserError: it is none that KMS made with this key.
            StoreUnavailable: KMS cannot be asked, or refuses.
        """
        try:
            opened = self._client.decrypt(
                CiphertextBlob=base64.b64decode(header["wrapped"]),
                KeyId=header["id"],
                EncryptionContext=_CONTEXT,
            )
        except (KeyError, ValueError, TypeError) as error:
            raise UserError("the segment's key cannot be opened", why=repr(error)) from None
        except ClientError as error:
            if error.response["Error"]["Code"] in _NOT_OURS:
                what = "the segment's key cannot be opened"
                raise UserError(what, why=str(error)) from None
            raise StoreUnavailable("a data key cannot be opened by KMS", why=str(error)) from None
        except BotoCoreError as error:
            raise StoreUnavailable("a data key cannot be opened by KMS", why=str(error)) from None
        key: bytes = opened["Plaintext"]
        return key
