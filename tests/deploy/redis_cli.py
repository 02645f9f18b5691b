"""Asks a Redis server by its own client."""

import subprocess


def run(port, *command):
    asked = subprocess.run(["redis-cli", "-p", str(port), *command], capture_output=True, text=True, check=True)
    return asked.stdout.strip()
