"""Who answers to which name: the served model and the adapters loaded over it."""

import time
from pathlib import Path
from typing import Any

from penstock.engines.embedded.lora import Adapter, read_adapter
from penstock.engines.embedded.protocol import LoadAdapter, Refused
from penstock.engines.embedded.shape import Shape
from penstock.ground.errors import UserError


class Roster:
    """The names a request may ask for. The first of `names` is how answers call the model."""

    def __init__(
        self,
        names: list[str],
        shape: Shape,
        *,
        root: str,
        context: int,
        max_adapters: int = 0,
    ) -> None:
        self.names, self.max_adapters = names, max_adapters
        self.adapters: dict[str, Adapter] = {}
        self._shape, self._root, self._context = shape, root, context
        self._created = int(time.time())

    @property
    def name(self) -> str:
        """The name answers carry when no adapter was asked for."""
        return self.names[0]

    def find(self, name: str | None) -> Adapter | None:
        """Return the adapter of that name, or none for the model itself.

        Raises:
            Refused: nothing of that name is served (404): never the model in its place.
        """
        if not name or name in self.names:
            return None
        if name not in self.adapters:
            raise Refused(
                f"The model `{name}` does not exist",
                status=404,
                kind="NotFoundError",
                param="model",
            )
        return self.adapters[name]

    def load(self, request: LoadAdapter) -> str:
        """Load an adapter; return the line that says so.

        Raises:
            Refused: names or paths are missing, taken or wrong, or the adapter does not fit.
        """
        name, path = request.lora_name, request.lora_path
        if not name or not path:
            raise _invalid("both `lora_name` and `lora_path` must be given")
        if name in self.names:
            raise _invalid(f"`{name}` is the name of the served model")
        if name in self.adapters and not request.load_inplace:
            raise _invalid(
                f"adapter `{name}` has already been loaded; `load_inplace` loads it anew"
            )
        if name not in self.adapters and len(self.adapters) >= self.max_adapters:
            raise _invalid(f"{self.max_adapters} adapters are loaded, the most of --max-loras")
        folder = Path(path)
        if not folder.is_dir():
            raise Refused(f"there is no adapter folder {path}", status=404, kind="NotFoundError")
        try:
            self.adapters[name] = read_adapter(name, folder, self._shape)
        except UserError as error:
            raise Refused(str(error)) from error
        return f"Success: LoRA adapter '{name}' added successfully."

    def unload(self, name: str) -> str:
        """Forget an adapter; answers that use it already run to their end.

        Raises:
            Refused: no name is given, or nothing of that name is loaded.
        """
        if not name:
            raise _invalid("`lora_name` must be given")
        if name not in self.adapters:
            raise Refused(f"adapter `{name}` cannot be found", status=404, kind="NotFoundError")
        del self.adapters[name]
        return f"Success: LoRA adapter '{name}' removed successfully."

    def cards(self) -> list[dict[str, Any]]:
        """Return the entries of `/v1/models`: the model under each name, then the adapters."""
        models = [self._card(name, self._root, None) for name in self.names]
        return models + [
            self._card(adapter.name, adapter.path, self.name) for adapter in self.adapters.values()
        ]

    def _card(self, name: str, root: str, parent: str | None) -> dict[str, Any]:
        return {
            "id": name,
            "object": "model",
            "created": self._created,
            "owned_by": "penstock",
            "root": root,
            "parent": parent,
            "max_model_len": self._context if parent is None else None,
            "permission": [],
        }


def _invalid(what: str) -> Refused:
    return Refused(what, kind="InvalidUserInput")
