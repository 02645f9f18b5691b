"""Builds the image of the Dockerfile once, over stand-ins for its base images."""

import pathlib
import shutil
import tempfile

import images
import pytest
from engine import ROOT, Engine
from harness.servers import QUASH

IMAGE = "localhost/quash:tested"
VERSION, REVISION = "0.0.0-tested", "0123456789abcdef"


@pytest.fixture(scope="session")
def engine():
    home = pathlib.Path(tempfile.mkdtemp(prefix="quash-container-"))
    engine = Engine(home)
    yield engine
    engine.close()
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def base_images(engine):
    """The stand-ins, under the names in the Dockerfile."""
    images.runtime(engine)
    images.rust(engine, QUASH)
    return ["--build-arg", f"RUST_IMAGE={images.RUST}", "--build-arg", f"RUNTIME_IMAGE={images.RUNTIME}"]


@pytest.fixture(scope="session")
def image(engine, base_images):
    """The image, from the Dockerfile as it is."""
    told = ["--build-arg", f"VERSION={VERSION}", "--build-arg", f"REVISION={REVISION}"]
    engine.build(IMAGE, ROOT / "deploy/docker/Dockerfile", ROOT, *base_images, *told)
    return IMAGE
