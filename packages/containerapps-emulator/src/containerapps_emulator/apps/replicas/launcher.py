"""Runs one container command and never outlives the control plane.

A script of its own that imports only the standard library, and little of it: it starts with every replica.

    python -I -S launcher.py CONTROL_FD '{"command": [...], "mounts": [...], "isolated": true}'

Each mount is {"source", "target", "read_only"}. With "isolated" the command can write to what is mounted
for it, to a /dev/shm of its own, and nowhere else.

It leads a new process group and adopts what its command leaves behind. Over the socket CONTROL_FD it
reports "exit CODE" once all of it has ended. When the command ends, or that socket closes (the control
plane ended, however it ended), it kills whatever still runs.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import struct
import sys
from types import FrameType
from typing import Any

CANNOT_MOUNT = 125
CANNOT_RUN = 126
NOT_FOUND = 127

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
PR_SET_CHILD_SUBREAPER = 36
PR_CAPBSET_DROP = 24
CAP_SYS_ADMIN = 21
MOUNT_SETATTR = 442  # the system call's number, the same on every kind of processor
AT_FDCWD = -100
AT_RECURSIVE = 0x8000
MOUNT_ATTR_RDONLY = 1
MS_RDONLY = 1
MS_REMOUNT = 32
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18


def main(control_fd: int, launch: dict[str, Any]) -> None:
    control = socket.socket(fileno=control_fd)
    control.set_inheritable(False)  # the command must not hold it open
    woken, wake = socket.socketpair()
    wake.setblocking(False)
    signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, _ignore)
    _adopt_orphans()
    child = os.fork()
    if child == 0:
        _become(launch["command"], launch["mounts"], isolated=launch["isolated"])
    terminated: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: terminated.append(number))
    signal.signal(signal.SIGINT, _ignore)
    signal.signal(signal.SIGHUP, _ignore)
    code = _wait(child, control, woken, terminated)
    _kill_descendants()
    if code is not None:
        control.sendall(b"exit %d\n" % code)
    os.killpg(0, signal.SIGKILL)


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """A handler, unlike SIG_IGN, is not inherited by the command."""


def _wait(child: int, control: socket.socket, woken: socket.socket, terminated: list[int]) -> int | None:
    """The command's exit code as a container reports it; None when the control plane is gone.

    A shell that SIGTERM ends at once must not take its still finishing children with it: after SIGTERM
    the end is when all have ended.
    """
    code = None
    while True:
        left, ended = _reap(child)
        code = ended if ended is not None else code
        if code is not None and not (terminated and left):
            return code
        readable, _, _ = select.select([control, woken], [], [])
        if control in readable and not control.recv(64):
            return None
        if woken in readable:
            woken.recv(64)


def _reap(child: int) -> tuple[bool, int | None]:
    """Whether any descendant is left, and the command's exit code if it has just ended."""
    code = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False, code
        if pid == 0:
            return True, code
        if pid == child:
            number = os.waitstatus_to_exitcode(status)
            code = number if number >= 0 else 128 - number


def _adopt_orphans() -> None:
    """Where the kernel can: descendants whose parent ends become children of this process."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _kill_descendants() -> None:
    """Also those that left the process group; what is left of the group dies with this process."""
    while True:
        try:
            with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:  # noqa: PTH123
                children = file.read().split()
        except OSError:
            return
        if not children:
            return
        for pid in children:
            os.kill(int(pid), signal.SIGKILL)
            os.waitpid(int(pid), 0)


def _become(command: list[str], mounts: list[dict[str, Any]], *, isolated: bool) -> None:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        if mounts or isolated:
            _enter(mounts, isolated=isolated)
    except OSError as error:
        _give_up(CANNOT_MOUNT, f"cannot mount: {error}")
    try:
        os.execvp(command[0], command)  # noqa: S606 - running the container's command is its purpose
    except FileNotFoundError:
        _give_up(NOT_FOUND, f"command not found: {command[0]}")
    except OSError as error:
        _give_up(CANNOT_RUN, f"cannot run {command[0]}: {error}")


def _give_up(code: int, message: str) -> None:
    sys.stderr.write(f"launcher: {message}\n")
    sys.stderr.flush()
    os._exit(code)


def _enter(mounts: list[dict[str, Any]], *, isolated: bool) -> None:
    """Bind each source over its target, in this order, seen by this process and its children alone."""
    kernel = _Kernel()
    folder = os.getcwd()  # noqa: PTH109 - pathlib costs more than all the rest
    user, group = os.getuid(), os.getgid()
    kernel.call("unshare", CLONE_NEWNS if user == 0 else CLONE_NEWNS | CLONE_NEWUSER)
    if user != 0:
        _keep_identity(user, group)
    kernel.mount(b"none", b"/", MS_REC | MS_PRIVATE)
    # What is mounted first may hide the sources of the rest (a new /tmp), so all are opened before.
    sources = [os.open(item["source"], os.O_PATH | os.O_CLOEXEC) for item in mounts]
    if isolated:
        for item in mounts:
            os.makedirs(item["target"], exist_ok=True)  # noqa: PTH103
        kernel.set_read_only("/", recursive=True)
        if os.path.isdir("/dev/shm"):  # noqa: PTH112, S108
            kernel.mount(b"tmpfs", b"/dev/shm", 0, b"tmpfs")
    for item, source in zip(mounts, sources, strict=True):
        target = os.fsencode(item["target"])
        os.makedirs(target, exist_ok=True)  # noqa: PTH103
        kernel.mount(b"/proc/self/fd/%d" % source, target, MS_BIND | MS_REC)
        if isolated:
            kernel.set_read_only(item["target"], item["read_only"])
        elif item["read_only"]:
            kernel.mount(b"none", target, MS_BIND | MS_REMOUNT | MS_RDONLY)
    if isolated and user == 0:
        kernel.call("prctl", PR_CAPBSET_DROP, CAP_SYS_ADMIN, 0, 0, 0)  # it could undo all this
    os.chdir(folder)  # of the mounts as they are now


class _Kernel:
    """The system calls that Python has no names for. Each raises OSError."""

    def __init__(self) -> None:
        import ctypes

        self._ctypes = ctypes
        self._libc = ctypes.CDLL(None, use_errno=True)

    def call(self, name: str, *arguments: object) -> None:
        if getattr(self._libc, name)(*arguments) != 0:
            number = self._ctypes.get_errno()
            raise OSError(number, f"{name}: {os.strerror(number)}")

    def mount(self, source: bytes, target: bytes, flags: int, kind: bytes | None = None) -> None:
        self.call("mount", source, target, kind, self._ctypes.c_ulong(flags), None)

    def set_read_only(self, target: str, read_only: bool = True, *, recursive: bool = False) -> None:
        """Of a mount, and with `recursive` of all below it; every other attribute stays as it is."""
        to_set, to_clear = (MOUNT_ATTR_RDONLY, 0) if read_only else (0, MOUNT_ATTR_RDONLY)
        attributes = struct.pack("=QQQQ", to_set, to_clear, 0, 0)
        flags = AT_RECURSIVE if recursive else 0
        path = os.fsencode(target)
        self.call("syscall", MOUNT_SETATTR, AT_FDCWD, path, flags, attributes, len(attributes))


def _keep_identity(user: int, group: int) -> None:
    """In the new user namespace the command stays who it was."""
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{user} {user} 1"),
        ("gid_map", f"{group} {group} 1"),
    ):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:  # noqa: PTH123
            file.write(text)


if __name__ == "__main__":
    main(int(sys.argv[1]), json.loads(sys.argv[2]))
