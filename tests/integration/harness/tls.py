"""Certificates made by openssl, for a cluster, for respgres and for its clients."""

import os
import shutil
import subprocess

from . import faketime


class Authority:
    """Signs what servers and clients show; `path` is what the others check it with."""

    def __init__(self, folder, name="ca"):
        self._folder = folder
        self._key, self.path = folder / f"{name}.key", folder / f"{name}.crt"
        _openssl("req", "-x509", *_new_key(self._key), "-out", self.path, "-days", "2",
                 "-subj", f"/CN={name}", "-addext", "basicConstraints=critical,CA:TRUE")

    def issue(self, name, host="localhost", password=None, days=90, when=None):
        """A certificate for `host` and 127.0.0.1; returns the paths of it and of its key. `when` is
        the date of its making, for one that has expired."""
        key, certificate = self._folder / f"{name}.key", self._folder / f"{name}.crt"
        made = ["req", "-x509", *_new_key(key), "-out", certificate, "-days", str(days),
                "-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host},IP:127.0.0.1",
                "-addext", "basicConstraints=critical,CA:FALSE", "-CA", self.path, "-CAkey", self._key]
        if password:
            made.remove("-nodes")
            made += ["-passout", f"pass:{password}"]
        _openssl(*made, when=when)
        return certificate, key

    def equip(self, postgres, host):
        """Turns TLS on, with a certificate for `host`, or changes it."""
        key, certificate = self._folder / "server.key", self._folder / "server.crt"
        _openssl("req", "-x509", *_new_key(key), "-out", certificate, "-days", "2",
                 "-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}",
                 "-CA", self.path, "-CAkey", self._key)
        for path in (key, certificate):
            to = postgres.data / path.name
            shutil.copy(path, to)
            to.chmod(0o600)
            if postgres.owner:
                os.chown(to, postgres.owner.pw_uid, postgres.owner.pw_gid)
        postgres.configure(ssl="on")


def _new_key(path):
    return ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", path)


def _openssl(*args, when=None):
    command = ["openssl", *map(str, args)]
    if when:
        command = faketime.under(command, FAKETIME=f"@{when}")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
