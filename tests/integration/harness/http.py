"""HTTP as a probe or a person asks it, and Prometheus' page read strictly."""

import http.client
import re

from prometheus_client.parser import text_string_to_metric_families


class Http:
    """One respgres' http-port."""

    def __init__(self, server, host="127.0.0.1"):
        self.address = (host, server.options["http-port"])

    def ask(self, path, method="GET", timeout=20, **headers):
        """(status, headers, body)"""
        connection = http.client.HTTPConnection(*self.address, timeout=timeout)
        try:
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def status(self, path):
        return self.ask(path)[0]

    def metrics(self):
        status, headers, body = self.ask("/metrics")
        assert status == 200
        assert headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        return Metrics(body.decode())


LINE = re.compile(
    r"# HELP [a-z_]+ [^\n]+|# TYPE [a-z_]+ (?:counter|gauge|histogram)"
    r'|[a-z_]+(?:\{[a-z_]+="(?:[^"\\\n]|\\[\\"n])*"\})? -?[0-9]+(?:\.[0-9]+)?')


class Metrics:
    """A page, checked against the format while it is read."""

    def __init__(self, text):
        assert text.endswith("\n")
        self.lines = text.splitlines()
        for line in self.lines:
            assert LINE.fullmatch(line), line
        self.families = {}
        for family in text_string_to_metric_families(text):
            # The parser names a counter without its ending.
            name = family.name + ("_total" if family.type == "counter" else "")
            assert name not in self.families, f"{name} stands there twice"
            self.families[name] = family
        self.samples = {}
        for family in self.families.values():
            for sample in family.samples:
                key = (sample.name, *sorted(sample.labels.items()))
                assert key not in self.samples, key
                self.samples[key] = sample.value

    def value(self, name, **labels):
        return self.samples[(name, *sorted(labels.items()))]

    def labelled(self, name, label):
        """{value of the label: value of the sample}"""
        return {dict(key[1:])[label]: value for key, value in self.samples.items()
                if key[0] == name}

    def names(self):
        return {key[0] for key in self.samples}
