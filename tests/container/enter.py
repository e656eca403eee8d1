"""Becomes process 1 of a container: started in new mount and PID namespaces, with a description as
JSON. What a runtime does, as far as the image can notice: mounts, root, user, environment."""

import ctypes
import json
import os
import subprocess
import sys

PR_SET_NO_NEW_PRIVS = 38


def mount(*args):
    subprocess.run(["mount", *args], check=True)


def main():
    spec = json.loads(sys.argv[1])
    root = spec["root"]
    mount("--make-rprivate", "/")
    mount("--bind", root, root)
    mount("-t", "proc", "proc", root + "/proc")
    mount("--bind", "/dev", root + "/dev")
    mount("-t", "tmpfs", "-o", "mode=1777", "tmpfs", root + "/dev/shm")
    for volume in spec["volumes"]:
        mount("-t", "tmpfs", "-o", "mode=1777", "tmpfs", root + volume)
    for host, inside in spec["mounts"].items():
        os.makedirs(os.path.dirname(root + inside), exist_ok=True)
        if not os.path.exists(root + inside):
            with open(root + inside, "x", encoding="utf8"):
                pass
        mount("--bind", host, root + inside)
    if spec["read_only"]:
        mount("-o", "remount,bind,ro", root)
    os.chroot(root)
    os.chdir(spec["cwd"])
    uid, _, gid = spec["user"].partition(":")
    os.setgroups([])
    os.setgid(int(gid or 0))
    os.setuid(int(uid))
    ctypes.CDLL(None).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    os.execvpe(spec["args"][0], spec["args"], spec["env"])


main()
