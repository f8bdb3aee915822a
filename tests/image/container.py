"""A container engine in small, for testing the image's root folder where there is no other one.

    python tests/image/container.py [--network=none] ROOT WORD...

It runs what the Dockerfile says, with WORDs behind it, as an engine does that is told ``--read-only --cap-drop=all
--security-opt=no-new-privileges --tmpfs=/tmp --tmpfs=/data``: in mount and process namespaces of its own, where the
program is process 1. The network is this machine's; with ``--network=none`` it is a loopback of its own. Signals
go through, the exit code comes back, and 125 means that it was this file that failed. It needs root.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import re
import signal
import socket
import struct
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

DOCKERFILE: Final = Path(__file__).resolve().parents[2] / "Dockerfile"

FAILED: Final = 125
"""The exit code of engines when they could not even start the program."""

DEVICES: Final = ("null", "zero", "full", "random", "urandom")
"""What engines put into ``/dev``."""

# From <linux/sched.h>, <sys/mount.h>, <linux/prctl.h>, and <linux/sockios.h>.
CLONE_NEWNS: Final = 0x00020000
CLONE_NEWPID: Final = 0x20000000
CLONE_NEWNET: Final = 0x40000000
MS_RDONLY: Final = 1
MS_NOSUID: Final = 2
MS_NODEV: Final = 4
MS_NOEXEC: Final = 8
MS_REMOUNT: Final = 32
MS_BIND: Final = 4096
MS_REC: Final = 16384
MS_PRIVATE: Final = 1 << 18
PR_SET_PDEATHSIG: Final = 1
PR_CAPBSET_DROP: Final = 24
PR_SET_NO_NEW_PRIVS: Final = 38
SIOCSIFFLAGS: Final = 0x8914
IFF_UP: Final = 1

_libc: Final = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Image:
    """What the last stage of the Dockerfile says about the process."""

    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    user: int
    group: int
    folder: str
    environment: Mapping[str, str]
    health: tuple[str, ...]


def read_dockerfile() -> Image:
    """The image's settings. Raises ValueError where a line is missing."""
    last = DOCKERFILE.read_text().replace("\\\n", " ").rpartition("\nFROM ")[2]

    def line(pattern: str) -> str:
        (found,) = re.findall(rf"^{pattern}$", last, re.MULTILINE)
        return str(found)

    user, group = line(r"USER (\d+:\d+)").split(":")
    return Image(
        entrypoint=tuple(json.loads(line(r"ENTRYPOINT (\[.*\])"))),
        command=tuple(json.loads(line(r"CMD (\[.*\])"))),
        user=int(user),
        group=int(group),
        folder=line(r"WORKDIR (\S+)"),
        environment=dict(re.findall(r"^ENV (\w+)=(\S+)$", last, re.MULTILINE)),
        health=tuple(json.loads(line(r"HEALTHCHECK .*CMD (\[.*\])"))),
    )


def main(arguments: Sequence[str]) -> int:
    """Runs the program in the root; its exit code, or 128 and the number of the signal that ended it."""
    own_network = arguments[0] == "--network=none"
    root, *words = arguments[1:] if own_network else arguments
    image = read_dockerfile()
    _check(_libc.unshare(CLONE_NEWNS | CLONE_NEWPID | (CLONE_NEWNET if own_network else 0)), "unshare")
    # The signals are held back until there is somebody to hand them to.
    handed_on = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, handed_on)
    child = os.fork()
    if child == 0:
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, handed_on)
            if own_network:
                bring_up_loopback()
            mount_all(root)
            become(root, image)
            program = [*image.entrypoint, *(words or image.command)]
            os.execve(program[0], program, environment(image))
        except BaseException as error:  # noqa: BLE001  it must not go on as a second copy of the parent
            print(f"container: {error}", file=sys.stderr)
        os._exit(FAILED)
    for number in handed_on:
        signal.signal(number, lambda number, _: os.kill(child, number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, handed_on)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def environment(image: Image) -> dict[str, str]:
    """What the process sees: what the image sets, HOME as in its passwd, and what would be given with ``--env``."""
    given = {name: value for name, value in os.environ.items() if name.startswith("CKV_") and name != "CKV_COMMAND"}
    return {"HOME": "/tmp", **image.environment, **given}


def bring_up_loopback() -> None:
    """A new network namespace has a loopback device, but it is down."""
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))


def mount_all(root: str) -> None:
    """The root, read-only, with what an engine mounts into it."""
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    mount(root, root, None, MS_BIND)
    mount("proc", f"{root}/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    mount("tmpfs", f"{root}/dev", "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=755")
    for device in DEVICES:
        Path(f"{root}/dev/{device}").touch()
        mount(f"/dev/{device}", f"{root}/dev/{device}", None, MS_BIND)
    for name in ("tmp", "data"):
        mount("tmpfs", f"{root}/{name}", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=1777")
    mount("none", root, None, MS_REMOUNT | MS_BIND | MS_RDONLY)


def become(root: str, image: Image) -> None:
    """Goes into the root, and becomes the user of the image, who has no capability and can get none."""
    os.chroot(root)
    os.chdir(image.folder)
    for capability in range(64):
        if _libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
            break  # the last one that this kernel knows was before it
    os.setgroups([])
    os.setgid(image.group)
    os.setuid(image.user)
    _check(_libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    # Last, as a change of the user takes it away: the end of this engine is the end of what it runs.
    _check(_libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "pdeathsig")


def mount(source: str, place: str, kind: str | None, flags: int, options: str = "") -> None:
    """mount(2); raises OSError."""
    words = [None if word is None else os.fsencode(word) for word in (source, place, kind, options)]
    _check(_libc.mount(words[0], words[1], words[2], ctypes.c_ulong(flags), words[3]), f"mount {place}")


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except OSError as error:
        print(f"container: {error}", file=sys.stderr)
        sys.exit(FAILED)
