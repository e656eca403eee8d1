"""What a client needs and is not there: Debian packages by apt-get, npm packages into the cache."""

import json
import os
import shutil
import subprocess

from .client import TOP


class Missing(Exception):
    """The client can't run here; the text says why."""


def installed_packages():
    if not shutil.which("dpkg-query"):
        return None
    done = subprocess.run(["dpkg-query", "-W", "-f=${db:Status-Status} ${Package}\n"],
                          capture_output=True, text=True, check=False)
    return {line.split()[1] for line in done.stdout.splitlines() if line.startswith("installed ")}


def missing_packages(client):
    there = installed_packages()
    if there is None:
        return []  # not a Debian system: taken for granted
    return [package for package in client.packages if not _is_there(package, there)]


# Others package node and npm together: a program of that name will do.
def _is_there(package, there):
    return package in there or (package in ("nodejs", "npm")
                                and shutil.which(package.removesuffix("js")) is not None)


def install_packages(*clients):
    """What they lack, in one go."""
    missing = sorted({package for client in clients for package in missing_packages(client)})
    if not missing:
        return
    as_root = [] if os.geteuid() == 0 else ["sudo", "-n", "--"]
    if as_root and not shutil.which("sudo"):
        raise Missing(f"needs the Debian packages {' '.join(missing)}: not root, and no sudo")
    done = subprocess.run([*as_root, "bash", TOP / "tools" / "install-packages", *missing],
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise Missing(f"could not install {' '.join(missing)}: {_last_line(done.stderr)}")


def install_npm(client):
    """node_modules in client.home, made anew where client.json asks for other versions."""
    if not client.npm:
        return
    if not shutil.which("npm"):
        raise Missing("there is no npm")
    wanted = json.dumps({"private": True, "dependencies": client.npm}, indent=1)
    lock = client.path / "package-lock.json"
    stamp = client.home / "installed.json"
    state = wanted + (lock.read_text() if lock.exists() else "")
    if stamp.exists() and stamp.read_text() == state:
        return
    shutil.rmtree(client.home / "node_modules", ignore_errors=True)
    (client.home / "package.json").write_text(wanted)
    if lock.exists():
        shutil.copy(lock, client.home)
    command = ["npm", "ci"] if lock.exists() else ["npm", "install", "--no-package-lock"]
    done = subprocess.run([*command, "--no-audit", "--no-fund"], cwd=client.home, text=True,
                          stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode != 0:
        raise Missing(f"{' '.join(command)} failed: {_last_line(done.stderr)}")
    stamp.write_text(state)


def _last_line(text):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no output"


def install(client):
    """Raises Missing."""
    client.home.mkdir(parents=True, exist_ok=True)
    install_packages(client)
    install_npm(client)
