"""What a replica is launched with: its volumes, its own folders and Python, its variables, its command."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from containerapps_emulator.apps.documents.job_records import ExecutionRecord, JobRecord
from containerapps_emulator.apps.documents.records import AppRecord, Records, RevisionRecord
from containerapps_emulator.apps.documents.template import ContainerTemplate, RevisionTemplate, read_template
from containerapps_emulator.apps.host import Host
from containerapps_emulator.apps.replicas.container import Launch
from containerapps_emulator.apps.replicas.environment import Place, container_environment
from containerapps_emulator.apps.replicas.isolation import Kernel, Own
from containerapps_emulator.apps.replicas.mounts import Mounter, MountError, Sources
from containerapps_emulator.apps.replicas.own_python import CannotMake, Environments, environment_key
from containerapps_emulator.apps.replicas.replica_order import CannotStart


@dataclass(frozen=True, slots=True)
class Program:
    """What a container is a part of: a revision of an app, or an execution of a job."""

    key: str  # of the app or the job
    environment: str
    secrets: Mapping[str, str]
    template: RevisionTemplate
    folder: Path  # of the app or the job, which its HOME and its Pythons outlive
    names: Mapping[str, str]  # the variables that tell a program what it belongs to
    used: Callable[[], set[str]]  # the Pythons that the app or the job still needs


class Launcher:
    def __init__(
        self,
        host: Host,
        records: Records,
        mounter: Mounter,
        kernel: Kernel,
        identity: Callable[[str], Mapping[str, str]],
    ) -> None:
        """`identity` gives the variables by which a program finds the tokens of its app or job."""
        self._host = host
        self._records = records
        self._mounter = mounter
        self._kernel = kernel
        self._identity = identity
        self._environments = Environments()

    async def of_app(
        self, app: AppRecord, revision: RevisionRecord, container: ContainerTemplate, replica: str, port: int
    ) -> Launch:
        """`port` is the one to listen on, 0 for a container that is given none. Raises CannotStart."""
        program = Program(
            key=app.key,
            environment=app.environment,
            secrets=app.secrets,
            template=read_template(revision.template),
            folder=self._host.app_folder(app.group, app.name),
            names={"CONTAINER_APP_NAME": app.name, "CONTAINER_APP_REVISION": revision.name},
            used=partial(self._used, app),
        )
        return await self._prepare(program, container, replica, port)

    async def of_job(
        self, job: JobRecord, execution: ExecutionRecord, container: ContainerTemplate, replica: str
    ) -> Launch:
        """Raises CannotStart."""
        template = read_template(execution.template)
        program = Program(
            key=job.key,
            environment=job.environment,
            secrets=job.secrets,
            template=template,
            folder=self._host.job_folder(job.group, job.name),
            names={"CONTAINER_APP_JOB_NAME": job.name, "CONTAINER_APP_JOB_EXECUTION_NAME": execution.name},
            used=partial(_keys, template, read_template(job.template or execution.template)),
        )
        return await self._prepare(program, container, replica, 0)

    async def _prepare(
        self, program: Program, container: ContainerTemplate, replica: str, port: int
    ) -> Launch:
        own = await self._own(program, container, self._working(program.template, container, replica))
        sources = Sources(
            volumes={volume.name: volume for volume in program.template.volumes},
            share_of=lambda storage: self._records.share(program.environment, storage),
            secrets=program.secrets,
            scratch=self._host.replica_folder(replica),
        )
        try:
            mounts = await self._mounter.plan(container.mounts, sources)
        except MountError as error:
            raise CannotStart("VolumeMountFailure", str(error)) from None
        isolated = await self._kernel.isolates()
        names = {**program.names, "CONTAINER_APP_REPLICA_NAME": replica, **self._identity(program.key)}
        place = Place(names, self._host.address, port, own, isolated)
        return Launch(
            command=tuple(mounts.translate(word) for word in container.command),
            environment=container_environment(container, program.secrets, mounts, place),
            folder=own.working,
            binds=(*(own.binds() if isolated else ()), *mounts.binds),
            isolated=isolated,
        )

    def _working(self, template: RevisionTemplate, container: ContainerTemplate, replica: str) -> Path:
        """The first container works in the replica's folder, the others in folders of theirs."""
        folder = self._host.replica_folder(replica)
        return folder if container == template.main else folder / "containers" / container.name

    async def _own(self, program: Program, container: ContainerTemplate, working: Path) -> Own:
        try:
            environment = await self._environments.ensure(
                program.folder / "environments", container.command, program.used
            )
        except CannotMake as error:
            raise CannotStart("ContainerCreateFailure", str(error)) from None
        own = Own(working, working / "tmp", program.folder / "home", environment)
        own.make()
        return own

    def _used(self, app: AppRecord) -> set[str]:
        """The environments of the app's revisions."""
        return _keys(*(read_template(revision.template) for revision in self._records.revisions(app)))


def _keys(*templates: RevisionTemplate) -> set[str]:
    return {
        environment_key(container.command)
        for template in templates
        for container in (*template.containers, *template.initial)
    }
