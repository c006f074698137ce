"""Models by Hugging Face id, fetched into the cache that all of Hugging Face's tools share."""

from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from penstock.ground.errors import UserError

FILES = ("*.json", "*.safetensors", "*.jinja")
"""What the embedded engine reads; other formats of the same weights stay where they are."""


def fetch(model: str, revision: str | None = None) -> Path:
    """Return the folder of a hub model, fetched if it is not in the cache yet.

    Raises:
        UserError: there is no such model or revision, it asks for a licence or a token, or the
            hub cannot be reached.
    """
    try:
        return Path(snapshot_download(model, revision=revision, allow_patterns=list(FILES)))
    except GatedRepoError as error:
        raise UserError(
            f"{model} is gated",
            why="its owner wants its licence accepted",
            fix="Accept it on the model's page and set HF_TOKEN",
        ) from error
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise UserError(
            f"there is no model {model}{f' at {revision}' if revision else ''} on the hub",
            fix="Check `model.id`; a private one needs HF_TOKEN; a folder is written ./folder",
        ) from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError, ValueError) as error:
        raise UserError(
            f"{model} cannot be fetched",
            why=f"the hub does not answer, and it is not in the cache ({type(error).__name__})",
            fix="Check the network and HF_ENDPOINT, or give a folder as `model.id`",
        ) from error
