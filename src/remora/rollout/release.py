"""Remora's own release as the payload of a rollout: files, aliases and checks. Moves no traffic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from remora.adapters.adapter import Digest
from remora.adapters.aliases import AliasSet
from remora.adapters.examples import encode_examples
from remora.adapters.store import EXAMPLES, RELEASE_FILE, decode_release, release_folder
from remora.azure.app.scale import Scale, why_not
from remora.azure.app.state import Revision
from remora.azure.share.files import Share
from remora.errors import Refused, listed
from remora.rollout.gates.check import Checked
from remora.rollout.gates.gates import Gates
from remora.rollout.payload import Load, Verdict
from remora.rollout.revision.candidate import ADAPTERS_VARIABLE, RELEASE_VARIABLE, Before
from remora.rollout.revision.restart import Strategy, check_restart
from remora.rollout.share import sync
from remora.rollout.share.adapter_plan import AdapterChange, Removal, plan_adapters
from remora.rollout.share.alias_sets import commit_set, served_aliases, set_id, wanted_aliases, write_set
from remora.rollout.share.contents import Contents
from remora.rollout.share.history import read_history
from remora.rollout.share.in_place import settle_aliases
from remora.rollout.share.plan import SyncPlan
from remora.rollout.steps import Steps

_LOOKED_AT = 50


@dataclass(frozen=True, slots=True)
class _Compared:
    """The results of `compare`, for the steps after it."""

    share: Share
    plan: SyncPlan
    aliases: AliasSet


class ReleasePayload:
    """A release, and the aliases to serve with it. `compare` must run before the methods that need them."""

    variable = RELEASE_VARIABLE
    program: str | None = None
    _compared: _Compared

    def __init__(
        self,
        contents: Contents,
        scale: Scale,
        gates: Gates,
        removal: Removal,
        examples: Sequence[str] = (),
    ) -> None:
        self._contents = contents
        self._scale = scale
        self._gates = gates
        self._removal = removal
        self._examples = encode_examples(examples)

    @property
    def content_id(self) -> str:
        return self._contents.release_id

    def admit(self, before: Before, strategy: Strategy) -> None:
        if strategy is Strategy.RESTART:
            check_restart(
                before.serving,
                running=before.release,
                wanted=self._contents.release_id,
                unread=self._contents.unread,
            )

    def compare(self, share: Share, before: Before, steps: Steps) -> Load:
        with steps("comparing with the share") as say:
            plan = sync.prepare(share, self._contents.files)
            served = served_aliases(share, before.environment.get(ADAPTERS_VARIABLE, ""))
            changes = self._changes(share, before, served)
            for change in changes:
                if change.what != "stays" or change.name not in self._contents.aliases:
                    say.reason(f"adapter {change}")
            say(f"{len(plan.kept)} files are on the share, {len(plan.uploads)} to upload")
        digests = {one.name: one.after for one in changes if one.after is not None}
        aliases = wanted_aliases(served, digests)
        self._compared = _Compared(share, plan, aliases)
        reasons = self._reasons(share, before, changes)
        return Load(
            environment={RELEASE_VARIABLE: self.content_id, ADAPTERS_VARIABLE: set_id(aliases)},
            scale=self._scale,
            served=not reasons,
            replaces=False,
            upload_files=len(plan.uploads),
            upload_bytes=plan.upload_bytes,
            kept_files=len(plan.kept),
            reasons=reasons,
            adapters=changes,
        )

    def upload(self, share: Share, steps: Steps) -> None:
        plan = self._compared.plan
        if plan.uploads:
            with steps(f"uploading {len(plan.uploads)} files, {plan.upload_bytes:,} bytes") as say:
                sync.upload(share, plan, lambda files, size: say(f"uploaded {files} files, {size:,} bytes"))

    def stage(self, share: Share) -> None:
        write_set(share, self._compared.aliases)

    def commit(self, share: Share) -> None:
        commit_set(share, self._compared.aliases)
        if (share.read(EXAMPLES) or encode_examples(())) != self._examples:
            share.replace(EXAMPLES, self._examples)

    def check(self, url: str, who: str, steps: Steps) -> Verdict:
        """Run the checks, and take over the digests that the new revision computed: see `in_place`."""
        known = self._compared
        aliases = settle_aliases(
            known.share, known.aliases, self._contents.unread, lambda: self._gates.problems(url)
        )
        self._compared = replace(known, aliases=aliases)
        return self._gates.check(url, who, self._digests, steps)

    def confirm(self, url: str, steps: Steps) -> Sequence[Checked]:
        return self._gates.confirm(url, self._digests, steps)

    @property
    def _digests(self) -> Mapping[str, Digest]:
        return self._compared.aliases.digests

    def _changes(self, share: Share, before: Before, served: AliasSet) -> tuple[AdapterChange, ...]:
        if served.digests == dict(self._contents.aliases):
            events = []
        else:
            events = read_history(share, most=_LOOKED_AT)
        changes = plan_adapters(served.digests, self._contents.aliases, self._removal, events)
        ours = self._contents.aliases
        kept = [one.name for one in changes if one.after and one.after != ours.get(one.name)]
        if kept:
            self._check_base(share, before, kept)
        return changes

    def _check_base(self, share: Share, before: Before, kept: Sequence[str]) -> None:
        """Refuse a new base model while there are pushed adapters, which fit only the serving one."""
        path = release_folder(before.release or "none") / RELEASE_FILE
        data = share.read(path) if before.release else None
        if data is None or decode_release(data, str(path)).base_digest == self._contents.base_digest:
            return
        raise Refused(
            f"the base model changes, but adapters that are not in this folder are for"
            f" the former one: {listed(kept)}",
            hint="push them again for the new base model later, and run now: remora deploy --prune",
        )

    def _reasons(self, share: Share, before: Before, changes: Sequence[AdapterChange]) -> tuple[str, ...]:
        """Why a new revision is needed; empty if the one with the traffic is up to date.

        A newer revision of the same content may wait for its check after a rollout was killed, or after
        `remora provision` has changed the app's template.
        """
        serving = next((one for one in before.revisions if one.name == before.serving), None)
        if serving is None:
            return ("nothing serves yet",)
        reasons = []
        if before.release != self.content_id:
            former = before.release or "another program"
            reasons.append(f"code, settings or base model changed: {former} → {self.content_id}")
        if changed := why_not(serving.scale, serving.created, self._scale, datetime.now(UTC)):
            reasons.append(changed)
        moved = [f"{one.name} {one.what}" for one in changes if one.what != "stays"]
        if moved:
            reasons.append(f"adapters changed: {', '.join(moved)}")
        latest = next((one for one in before.revisions if one.name == before.state.latest_revision), None)
        if latest is not None and latest.name in before.strays and self._is_wanted(share, latest):
            reasons.append(f"{latest.name} has the same content and newer settings of the app")
        return tuple(reasons)

    def _is_wanted(self, share: Share, revision: Revision) -> bool:
        """Whether it runs the same; the hours in which it is awake are not in a template's parameters."""
        scale, wanted = revision.scale, self._scale
        same_scale = (scale.min_replicas, scale.max_replicas) == (wanted.min_replicas, wanted.max_replicas)
        same_release = revision.environment.get(RELEASE_VARIABLE) == self.content_id
        served = served_aliases(share, revision.environment.get(ADAPTERS_VARIABLE, ""))
        return same_scale and same_release and served.digests == self._digests
