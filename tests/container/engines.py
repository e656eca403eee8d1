"""What can build an image and run containers: docker or podman, or buildah with chroot.

An engine has build() and run(); a container stop(), exec(), health(), and its log. Containers share
the host's network, so that they reach a PostgreSQL there.
"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

BASE = "debian:bookworm-slim"  # as the Dockerfile's FROM
HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parents[1]


def call(*args, **options):
    done = subprocess.run([str(a) for a in args], capture_output=True, text=True, check=False,
                          **options)
    assert done.returncode == 0, f"{args}: {done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout.strip()


class Unavailable(Exception):
    """Says why nothing here can run a container."""


def choose():
    """An engine, not yet with an image."""
    for name in ("docker", "podman"):
        if shutil.which(name) and subprocess.run([name, "info"], capture_output=True,
                                                 check=False).returncode == 0:
            return Docker(name)
    if os.geteuid() != 0:
        raise Unavailable("no docker or podman that works, and buildah is used as root only")
    missing = [name for name in ("buildah", "debootstrap", "unshare", "nsenter")
               if not shutil.which(name)]
    if missing:
        raise Unavailable(f"no docker or podman that works, and no {', '.join(missing)}")
    if subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"], check=False,
                      stderr=subprocess.DEVNULL).returncode != 0:
        raise Unavailable("no docker or podman that works, and namespaces may not be made")
    return Buildah()


# --- docker, podman --------------------------------------------------------------------------------

class Docker:
    def __init__(self, program):
        self.program = program
        self.image = os.environ.get("RESPGRES_IMAGE")

    def build(self):
        if not self.image:
            self.image = "respgres:check"
            call(self.program, "build", "-t", self.image, TOP)

    def config(self):
        return json.loads(call(self.program, "image", "inspect", self.image))[0]["Config"]

    def size(self):
        return int(json.loads(call(self.program, "image", "inspect", self.image))[0]["Size"])

    def run(self, *args, env=None, user=None, read_only=False, mounts=None):
        line = [self.program, "run", "--detach", "--network", "host"]
        line += [x for name, value in (env or {}).items() for x in ("--env", f"{name}={value}")]
        line += [x for host, inside in (mounts or {}).items()
                 for x in ("--volume", f"{host}:{inside}")]
        line += ["--user", user] if user else []
        line += ["--read-only"] if read_only else []
        return DockerContainer(self.program, call(*line, self.image, *args))

    def close(self):
        pass


class DockerContainer:
    def __init__(self, program, name):
        self.program, self.name = program, name

    @property
    def log(self):
        done = subprocess.run([self.program, "logs", self.name], capture_output=True, text=True,
                              check=False)
        return done.stdout + done.stderr

    def is_running(self):
        return call(self.program, "inspect", "-f", "{{.State.Running}}", self.name) == "true"

    def signal(self, signum):
        call(self.program, "kill", "--signal", str(int(signum)), self.name)

    def wait(self, timeout=20):
        return int(call(self.program, "wait", self.name, timeout=timeout))

    def exec(self, *args):
        return subprocess.run([self.program, "exec", self.name, *args], capture_output=True,
                              text=True, check=False, timeout=30)

    def remove(self):
        call(self.program, "rm", "--force", self.name)


# --- buildah ---------------------------------------------------------------------------------------

class Buildah:
    """With a storage of its own. No service, no registry: the base is what debootstrap makes."""

    def __init__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="respgres-image-", dir="/var/tmp"))
        self.root = None

    def _buildah(self, *args):
        return call("buildah", "--root", self.dir / "storage", "--runroot", self.dir / "run",
                    "--storage-driver", "vfs", *args)

    def _make_base(self):
        base = self.dir / "base"
        call("debootstrap", "--variant=minbase", "bookworm", base)
        container = self._buildah("from", "scratch")
        self._buildah("add", "-q", container, base, "/")
        self._buildah("commit", "-q", container, BASE)
        self._buildah("rm", container)
        shutil.rmtree(base)

    def build(self):
        self._make_base()
        self._buildah("bud", "--isolation", "chroot", "--format", "docker", "--pull-never",
                      "-t", "respgres:check", TOP)
        self.root = self._buildah("mount", self._buildah("from", "--pull-never",
                                                         "localhost/respgres:check"))

    def config(self):
        return json.loads(self._buildah("inspect", "--type", "image",
                                        "localhost/respgres:check"))["Docker"]["config"]

    def size(self):
        return int(json.loads(self._buildah("images", "--json", "localhost/respgres:check"))[0]
                   .get("sizeBytes") or tree_size(self.root))

    def run(self, *args, env=None, user=None, read_only=False, mounts=None):
        config = self.config()
        spec = {
            "root": self.root, "read_only": read_only, "cwd": config["WorkingDir"],
            "user": user or config["User"], "mounts": mounts or {},
            "volumes": list(config["Volumes"]),
            "args": config["Entrypoint"] + (list(args) or config["Cmd"]),
            "env": {**dict(pair.split("=", 1) for pair in config["Env"]), **(env or {})}}
        return RootContainer(spec, self.dir)

    def close(self):
        subprocess.run(["buildah", "--root", self.dir / "storage", "--runroot", self.dir / "run",
                        "--storage-driver", "vfs", "rm", "--all"], capture_output=True, check=False)
        shutil.rmtree(self.dir, ignore_errors=True)


def tree_size(root):
    return sum(path.lstat().st_size for path in pathlib.Path(root).rglob("*")
               if path.is_file() and not path.is_symlink())


class RootContainer:
    """A process 1 in namespaces of its own, chrooted into the image's files (enter.py)."""

    def __init__(self, spec, folder):
        self.spec = spec
        number, path = tempfile.mkstemp(prefix="log-", dir=folder)
        self.log_path = pathlib.Path(path)
        self.process = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", sys.executable,
             str(HERE / "enter.py"), json.dumps(spec)],
            stdin=subprocess.DEVNULL, stdout=number, stderr=number, start_new_session=True)
        os.close(number)

    @property
    def log(self):
        return self.log_path.read_text(errors="replace")

    def is_running(self):
        return self.process.poll() is None

    def _pid(self):
        """Of process 1, as seen from here, once it has become the program."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
            pids = children.read_text().split() if children.exists() else []
            if pids and b"enter.py" not in pathlib.Path(f"/proc/{pids[0]}/cmdline").read_bytes():
                return int(pids[0])
            time.sleep(0.02)
        raise AssertionError("the container has no process 1\n" + self.log)

    def signal(self, signum):
        os.kill(self._pid(), signum)

    def wait(self, timeout=20):
        return self.process.wait(timeout)

    def exec(self, *args):
        uid, _, gid = self.spec["user"].partition(":")
        return subprocess.run(
            ["nsenter", "--target", str(self._pid()), "--mount", "--pid", "--root", "--wd",
             "--setuid", uid, "--setgid", gid or "0", *args],
            capture_output=True, text=True, check=False, timeout=30, env=self.spec["env"])

    def remove(self):
        if self.is_running():
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
