"""Which model a client means. Owns the names of one base model and its adapters; loads nothing."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from remora.adapters.adapter import Adapter, Digest, short
from remora.adapters.model_set import ModelSet
from remora.adapters.store import name_on_share
from remora.errors import InvalidInput, ModelNotFound, listed
from remora.project.prompt_template import PromptTemplate, parse_prompt_template

SHORTEST_DIGEST_PREFIX = 8  # characters; fewer would be a guess, not an identity
PREVIOUS = "previous"  # `tone@previous` is the version that a rollback would bring back


class AdapterRegistry:
    """Names to adapters. A name is only a pointer; what it points to is known by its digest."""

    def __init__(
        self,
        base_name: str,
        adapters: Sequence[Adapter],
        prompt_templates: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.base_name = base_name
        self._templates = {name: parse_prompt_template(text) for name, text in prompt_templates.items()}
        self._adapters = MappingProxyType(_by_name(base_name, adapters))
        self._refused: Mapping[str, str] = MappingProxyType({})
        self._previous: Mapping[str, Digest] = MappingProxyType({})
        self._loaded_previous: Mapping[Digest, Adapter] = MappingProxyType({})

    @classmethod
    def of(cls, model_set: ModelSet) -> AdapterRegistry:
        return cls(model_set.base_name, model_set.adapters, model_set.prompt_templates)

    def replace(
        self,
        adapters: Sequence[Adapter],
        refused: Mapping[str, str] = MappingProxyType({}),
        previous: Mapping[str, Digest] = MappingProxyType({}),
        loaded_previous: Sequence[Adapter] = (),
    ) -> None:
        """Serve exactly these from now on; who has resolved a name already keeps what it got.

        `refused` are names that should be served, with the reason why they are not. `previous` are the
        former versions of these names, and `loaded_previous` those of them that the engine has.
        """
        self._adapters = MappingProxyType(_by_name(self.base_name, adapters))
        self._refused = MappingProxyType(dict(refused))
        self._previous = MappingProxyType({n: one for n, one in previous.items() if n in self._adapters})
        self._loaded_previous = MappingProxyType({each.digest: each for each in loaded_previous})

    @property
    def adapters(self) -> tuple[Adapter, ...]:
        return tuple(self._adapters.values())

    @property
    def names(self) -> tuple[str, ...]:
        """What a client may ask for: the base first, then the adapters."""
        return (self.base_name, *self._adapters)

    @property
    def previous(self) -> Mapping[str, Digest]:
        """The former version of each adapter that has one, by the adapter's name."""
        return self._previous

    def named_previous(self, model: str) -> str | None:
        """The adapter's name if `model` means its former version (`tone@previous`), else None."""
        if not model.endswith(f"@{PREVIOUS}") or model in self._adapters:
            return None
        name = model.removeprefix(f"{self.base_name}:").removesuffix(f"@{PREVIOUS}")
        return name if name in self._adapters else None

    def prompt_template(self, adapter: Adapter | None) -> PromptTemplate | None:
        """The prompt of an adapter's training; None where conversations go into the base's chat template."""
        if adapter is None:
            return None
        # A version that is served under another name was trained with the prompts of the name that it has.
        return self._templates.get(adapter.name) or self._templates.get(name_on_share(adapter))

    def resolve(self, model: str) -> Adapter | None:
        """The adapter that `model` means, None for the base; raises ModelNotFound for anything else.

        Tried in this order, so that a name with a colon or an at sign in it still means itself: the base,
        an adapter, `base:adapter`, and either of the last two with `@` and the first characters (8 or
        more) of the digest, or with `@previous`.
        """
        if model == self.base_name:
            return None
        for name in (model, model.removeprefix(f"{self.base_name}:")):
            adapter = self._adapters.get(name) or self._pinned(name)
            if adapter is not None:
                return adapter
            if reason := self._refused.get(name.partition("@")[0]):
                raise ModelNotFound(f"the model {model!r} is not served: {reason}", param="model")
        raise ModelNotFound(f"the model {model!r} does not exist", hint=self._hint(model), param="model")

    def _pinned(self, model: str) -> Adapter | None:
        name, at, prefix = model.rpartition("@")
        adapter = self._adapters.get(name)
        if not at or adapter is None:
            return None
        if prefix == PREVIOUS:
            return self._former(name)
        if len(prefix) >= SHORTEST_DIGEST_PREFIX and adapter.digest.startswith(prefix):
            return adapter
        raise ModelNotFound(
            f"the model {model!r} does not exist: {name!r} is at {short(adapter.digest)}",
            hint=f"ask for {name!r}, or for {name}@{short(adapter.digest)}",
            param="model",
        )

    def _former(self, name: str) -> Adapter:
        digest = self._previous.get(name)
        if digest is None:
            raise ModelNotFound(
                f"{name!r} has no previous version here",
                hint="`remora adapters history` lists the versions of a deployed adapter",
                param="model",
            )
        if digest not in self._loaded_previous:
            raise ModelNotFound(
                f"{name}@{short(digest)}, the previous version of {name!r}, is not loaded",
                hint="send the request again",
                param="model",
            )
        return replace(self._loaded_previous[digest], name=name)

    def _hint(self, model: str) -> str:
        close = difflib.get_close_matches(model, self.names, n=1)
        guess = f"did you mean {close[0]!r}? " if close else ""
        return f"{guess}this endpoint serves: {listed(self.names)}"


def _by_name(base_name: str, adapters: Sequence[Adapter]) -> dict[str, Adapter]:
    named: dict[str, Adapter] = {}
    for adapter in adapters:
        if adapter.name == base_name or adapter.name in named:
            raise InvalidInput(
                f"two models are called {adapter.name!r}",
                hint="give every adapter its own name under [adapters] in remora.toml, other than the base's",
                param=adapter.name,
            )
        named[adapter.name] = adapter
    return named
