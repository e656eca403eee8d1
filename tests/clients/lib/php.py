"""The commands of PHP apps."""

import os
import subprocess


def php_server(script, **settings):
    """PHP's own server, with workers; `settings` of php.ini are written with _ for the dots."""
    os.environ["PHP_CLI_SERVER_WORKERS"] = "8"
    defines = [f"-d{name.replace('__', '.')}={value}" for name, value in settings.items()]
    return lambda port: ["php", *defines, "-S", f"127.0.0.1:{port}", script]


def php_says(code):
    return subprocess.run(["php", "-r", code], check=True, capture_output=True, text=True).stdout
