"""The files for platforms: YAML that parses, names options that there are, and asks the right
questions about health. The image itself is built and used by tests/container/check."""

import re
import subprocess
import sys

import pytest
import yaml

from harness.util import TOP

PROBES = {"livenessProbe": "/healthz", "startupProbe": "/healthz", "readinessProbe": "/readyz"}


def load(name):
    return list(yaml.safe_load_all((TOP / "conf" / name).read_text(encoding="utf8")))


def variables():
    """What respgres reads of its environment."""
    names = re.findall(r"^#([a-z-]+) ", (TOP / "conf/respgres.conf").read_text(), re.MULTILINE)
    options = {"RESPGRES_CONF_" + name.upper().replace("-", "_") for name in names}
    secrets = {"DATABASE_URL", "RESPGRES_CONF_DATABASE_URL", "RESPGRES_CONF_REQUIREPASS"}
    return options | {"DATABASE_URL"} | {name + "_FILE" for name in secrets}


def check_names(names):
    """PGPASSWORD is libpq's."""
    assert set(names) - variables() - {"PGPASSWORD"} == set()
    assert any(name.startswith(("DATABASE_URL", "RESPGRES_CONF_DATABASE_URL")) for name in names)


def image():
    """ENV, EXPOSE and HEALTHCHECK of the Dockerfile."""
    text = (TOP / "Dockerfile").read_text().replace("\\\n", " ")
    final = text[text.rindex("FROM "):]
    env = dict(re.findall(r'(RESPGRES_CONF_\w+)="?([^"\n]*?)"?(?:\s|$)',
                          re.search(r"^ENV (.*)$", final, re.MULTILINE)[1]))
    ports = {int(p) for p in re.search(r"^EXPOSE (.*)$", final, re.MULTILINE)[1].split()}
    return final, env, ports


def test_the_dockerfile_names_options_and_ports_that_there_are():
    final, env, ports = image()
    assert set(env) - variables() == set()
    assert ports == {6379, int(env["RESPGRES_CONF_HTTP_PORT"])}
    assert 'HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["respgres", "--healthcheck"]' in final
    assert re.search(r"^USER \d+:\d+$", final, re.MULTILINE), "a number, for runAsNonRoot"


# --- compose --------------------------------------------------------------------------------------

def test_compose():
    file, = load("compose.yml")
    service = file["services"]["respgres"]
    check_names(service["environment"])
    assert service["image"] == "respgres" and service["build"] == ".."
    assert service["environment"]["RESPGRES_CONF_REQUIREPASS"].startswith("${REDIS_PASSWORD:?")
    assert "healthcheck" not in service, "the image's"
    assert "respgres-data:/data" in service["volumes"] and service["read_only"]
    assert all(port.startswith("127.0.0.1:") and port.endswith(":6379") for port in service["ports"])
    for entry in [*file["services"].values()]:
        named = {v.split(":")[0] for v in entry["volumes"]}
        assert named <= set(file["volumes"])
    assert set(service["depends_on"]) <= set(file["services"])
    postgres = file["services"]["postgres"]
    url = service["environment"]["DATABASE_URL"]
    who, where = re.fullmatch(r"postgresql://(\w+)@(\w+)/respgres", url).groups()
    assert postgres["environment"]["POSTGRES_USER"] == who and where == "postgres"
    assert postgres["environment"]["POSTGRES_PASSWORD"] == service["environment"]["PGPASSWORD"]


def test_grace_periods_are_longer_than_the_drain():
    """shutdown-timeout, plus what preStop takes."""
    timeout = int(re.search(r"^#shutdown-timeout (\d+)$", (TOP / "conf/respgres.conf").read_text(),
                            re.MULTILINE)[1])
    compose, = load("compose.yml")
    assert int(compose["services"]["respgres"]["stop_grace_period"].rstrip("s")) > timeout
    render, = load("render.yaml")
    assert render["services"][0]["maxShutdownDelaySeconds"] > timeout
    for name, stop in (("deployment.yaml", 5), ("sidecar.yaml", 0)):
        spec, _ = pod("k8s/" + name)
        assert spec["terminationGracePeriodSeconds"] > timeout + stop
    unit = (TOP / "conf/respgres.service").read_text()
    assert int(re.search(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)[1]) > timeout


def test_libpq_takes_the_password_from_pgpassword(lab):
    """As conf/compose.yml gives it."""
    postgres = lab.postgres()
    postgres.create_role("composed", "p@ss/w%rd")
    database = lab.database(owner="composed")
    server = lab.respgres(database.url_by(tcp=True), env={"PGPASSWORD": "p@ss/w%rd"})
    assert server.client().set("k", "v")
    server.sigterm()
    database.drop()
    postgres.execute("DROP ROLE composed")


# --- Render ---------------------------------------------------------------------------------------

def test_render():
    file, = load("render.yaml")
    databases = {database["name"] for database in file["databases"]}
    services = {service["name"]: service for service in file["services"]}
    assert services["respgres"]["type"] == "pserv" and services["respgres"]["runtime"] == "docker"
    assert services["app"]["type"] == "web"
    keys = {s: {v["key"]: v for v in service["envVars"]} for s, service in services.items()}
    check_names(keys["respgres"])
    for entries in keys.values():
        for entry in entries.values():
            sources = set(entry) & {"value", "generateValue", "fromDatabase", "fromService"}
            assert len(sources) == 1
            if "fromDatabase" in entry:
                assert entry["fromDatabase"]["name"] in databases
            if "fromService" in entry:
                source = entry["fromService"]
                assert source["type"] == services[source["name"]]["type"]
                assert source.get("property") == "hostport" or \
                    source["envVarKey"] in keys[source["name"]]
    assert "gunicorn" in services["app"]["startCommand"]
    assert (TOP / services["app"]["rootDir"] / "app.py").is_file()
    assert (TOP / services["respgres"]["dockerfilePath"]).is_file()


def test_renders_password_becomes_a_url(lab, database):
    """The start command escapes what a generated password may have."""
    file, = load("render.yaml")
    command = file["services"][1]["startCommand"]
    password = "ab+c/d=="
    server = lab.respgres(database, requirepass=password)
    done = subprocess.run(
        ["sh", "-c", command.replace("gunicorn --bind 0.0.0.0:$PORT app:app",
                                     f"{sys.executable} -c 'import os, redis;"
                                     " print(redis.from_url(os.environ[\"REDIS_URL\"]).ping())'")],
        env={"PATH": "/usr/bin:/bin", "REDIS_PASSWORD": password,
             "REDIS_HOSTPORT": f"127.0.0.1:{server.port}"}, capture_output=True, text=True,
        timeout=20, check=False)
    assert done.stdout == "True\n", done.stderr


# --- Kubernetes -----------------------------------------------------------------------------------

def pod(name):
    """(the pod's spec, respgres' container)"""
    deployment, = [d for d in load(name) if d["kind"] == "Deployment"]
    template = deployment["spec"]["template"]
    assert deployment["spec"]["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    spec = template["spec"]
    containers = spec.get("initContainers", []) + spec["containers"]
    return spec, next(c for c in containers if c["name"] == "respgres")


@pytest.mark.parametrize("name", ["k8s/deployment.yaml", "k8s/sidecar.yaml"])
def test_kubernetes(name):
    spec, container = pod(name)
    _, env, ports = image()
    assert container["image"] == "respgres"
    check_names([entry["name"] for entry in container["env"]])
    assert all(("value" in entry) != ("valueFrom" in entry) for entry in container["env"])
    named = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert set(named.values()) <= ports
    assert all(len(port) <= 15 for port in named), "a name of a port has 15 characters"
    for probe, path in PROBES.items():
        if probe in container:
            assert container[probe]["httpGet"]["path"] == path
            assert named[container[probe]["httpGet"]["port"]] == int(env["RESPGRES_CONF_HTTP_PORT"])
    assert {"livenessProbe", "readinessProbe"} <= set(container)
    secure = container["securityContext"]
    assert secure["readOnlyRootFilesystem"] and not secure["allowPrivilegeEscalation"]
    assert spec["securityContext"]["runAsNonRoot"]
    volumes = {volume["name"] for volume in spec["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/data"]


def test_the_headless_service_finds_the_pods():
    service, = [d for d in load("k8s/deployment.yaml") if d["kind"] == "Service"]
    deployment, = [d for d in load("k8s/deployment.yaml") if d["kind"] == "Deployment"]
    _, container = pod("k8s/deployment.yaml")
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["selector"] == deployment["spec"]["template"]["metadata"]["labels"]
    names = {port["name"] for port in container["ports"]}
    assert {port["targetPort"] for port in service["spec"]["ports"]} <= names


def test_the_sidecar_starts_first_and_serves_its_pod_only():
    spec, container = pod("k8s/sidecar.yaml")
    assert container in spec["initContainers"] and container["restartPolicy"] == "Always"
    env = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert env["RESPGRES_CONF_BIND"] == "127.0.0.1 -::1"
    app = spec["containers"][0]
    assert {"name": "REDIS_URL", "value": "redis://127.0.0.1:6379/0"} in app["env"]
