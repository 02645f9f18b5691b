"""Lays out what a rendered pod finds in its volumes, and runs the containers of one on this machine."""

import os
import pathlib
import subprocess

import yaml

from places import QUASH


def objects(texts):
    """Every object of the rendered templates."""
    return [each for path, text in texts.items() if path.endswith(".yaml") for each in yaml.safe_load_all(text) if each]


def one(found, kind, name=None):
    return next(each for each in found if each["kind"] == kind and name in (None, each["metadata"]["name"]))


class Pod:
    """The pod of a Deployment or of `helm test`, with its files in a folder.

    Only the paths, which would be those of this machine, and the port differ from what runs in a cluster.
    """

    def __init__(self, root, found, spec, secrets, port=None, maps=None):
        self.root, self.spec, self.secrets, self.port = pathlib.Path(root), spec, secrets, port
        maps = (maps or {}) | {each["metadata"]["name"]: each["data"] for each in found if each["kind"] == "ConfigMap"}
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        for mount in spec["containers"][0]["volumeMounts"]:
            self._lay(mount["mountPath"], self._files(volumes[mount["name"]], maps))

    def _files(self, volume, maps):
        if "configMap" in volume:
            return maps.get(volume["configMap"]["name"], {})
        items = [
            (each["secret"]["name"], item)
            for each in volume["projected"]["sources"]
            for item in each["secret"]["items"]
        ]
        return {item["path"]: self.secrets[name][item["key"]] for name, item in items}

    def _lay(self, path, files):
        """As the kubelet does it: names are links through `..data`, which is exchanged as a whole."""
        folder = self.root / path.lstrip("/")
        folder.mkdir(parents=True, exist_ok=True)
        version = folder / f"..{len(list(folder.iterdir()))}"
        version.mkdir()
        for name, text in files.items():
            if self.port is not None:
                text = text.replace(":9464", f":{self.port}")
            (version / name).write_text(text)
            if not (folder / name).is_symlink():
                (folder / name).symlink_to(f"..data/{name}")
        (folder / "..new").symlink_to(version.name)
        (folder / "..new").rename(folder / "..data")

    def update(self, name, files):
        """What the kubelet does some time after a ConfigMap was changed."""
        self._lay(f"/etc/quash/{name}", files)

    def environment(self, container):
        there = {each["name"]: each["value"] for each in container["env"]}
        under = {
            name: ",".join(f"{self.root}{path}" if path.startswith("/") else path for path in value.split(","))
            for name, value in there.items()
        }
        return {"PATH": os.environ["PATH"], **under}

    def container(self, name):
        return next(
            each for each in [*self.spec.get("initContainers", []), *self.spec["containers"]] if each["name"] == name
        )

    def run(self, name, args=None):
        """A container until it ends, or another command in it."""
        container = self.container(name)
        command = [QUASH, *(args or container["args"])]
        return subprocess.run(
            command, env=self.environment(container), cwd=self.root, capture_output=True, text=True, timeout=60
        )

    def start(self, name):
        container = self.container(name)
        with (self.root / "log").open("ab") as log:
            return subprocess.Popen(
                [QUASH, *container["args"]], env=self.environment(container), cwd=self.root, stdout=log, stderr=log
            )
