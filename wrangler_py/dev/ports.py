"""Binding the session's port: the one that was asked for, or the first free one from 8787 on."""

from __future__ import annotations

import errno
import shutil
import socket
import subprocess
import sys
from pathlib import Path

from wrangler_py.dev.options import DEFAULT_PORT

#: How many ports after the default one are tried.
_TRIES = 100


class PortError(Exception):
    """The port cannot be had. The text says who has it, where that can be found out, and what to do."""


def bind(ip: str, port: int | None) -> socket.socket:
    """A listening socket on `ip`. Raises PortError."""
    if port is not None:
        try:
            return _listen(ip, port)
        except OSError as error:
            raise PortError(_explain(ip, port, error)) from error
    for candidate in range(DEFAULT_PORT, DEFAULT_PORT + _TRIES):
        try:
            return _listen(ip, candidate)
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise PortError(_explain(ip, candidate, error)) from error
    raise PortError(f"No port from {DEFAULT_PORT} to {DEFAULT_PORT + _TRIES - 1} is free. Choose one with --port N.")


def _listen(ip: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        if sys.platform != "win32":  # on Windows it would let two servers share a port
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((ip, port))
        sock.listen(2048)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


def _explain(ip: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        holder = _holder(port)
        who = f" by {holder}" if holder else ""
        return f"Port {port} is already in use{who}. Stop it, or choose another port with --port N (0: any free one)."
    if error.errno == errno.EACCES:
        return f"Port {port} needs more rights than this user has. Choose one above 1023 with --port N."
    if error.errno in (errno.EADDRNOTAVAIL, socket.EAI_NONAME):
        return f"{ip} is not an address of this machine. Use --ip 127.0.0.1 (this machine only) or --ip 0.0.0.0 (all)."
    return f"Cannot listen on {ip}:{port}: {error.strerror or error}. Choose another address with --ip, --port."


def _holder(port: int) -> str | None:
    """Which process listens on a port, in words, as far as this user may know."""
    if sys.platform == "linux":
        return _holder_from_proc(port)
    lsof = shutil.which("lsof")
    if lsof is None:
        return None
    command = [lsof, "-nP", f"-iTCP:{port}", "-sTCP:LISTEN", "-Fpc"]
    try:
        output = subprocess.run(command, capture_output=True, text=True, timeout=3).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    fields = {line[:1]: line[1:] for line in output.splitlines()}
    return f"{fields['c']} (process {fields['p']})" if {"c", "p"} <= fields.keys() else None


def _holder_from_proc(port: int) -> str | None:
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            columns = line.split()
            if columns[3] == "0A" and int(columns[1].rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{columns[9]}]")
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            for descriptor in (process / "fd").iterdir():
                if str(descriptor.readlink()) in inodes:
                    command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
                    return f'process {process.name} ("{command[:80]}")'
        except OSError:
            continue  # another user's process, or one that has just ended
    return None
