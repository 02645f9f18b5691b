"""Holds what the chart renders to Kubernetes, to the worker and to what its README says."""

import copy
import functools
import json
import re
import subprocess

import generate
import helm_python as helm
import kubernetes_validate
import pytest
import yaml

import schemas
from chart import changed, refused, render, values
from places import BIN, CHART, QUASH, ROOT
from pod import Pod, one

FIXTURES = ["redis", "rabbitmq", "nats", "existing", "postgres"]
#: The oldest that Chart.yaml admits, and the newest that the validator knows.
VERSIONS = ["1.27", "1.37"]
#: What somebody else would have written for `existingConfigMap`.
EXISTING = {
    "shop.yaml": """
targets: { main: { redis: { url: "${CACHE_URL}" } } }
sources: { events: { redis_streams: { url: "${QUEUE_URL}" } } }
caches: { product: { key: "product:{id}", depends_on: [ { row: shop.Product } ] } }
"""
}
SECRETS = {
    "quash": {"queue-url": "", "cache-url": "redis://127.0.0.1:1/0", "admin-token": "s3cret"},
    "nats": {"url": "nats://127.0.0.1:1"},
    "cache": {"url": "redis://127.0.0.1:1/0"},
    "quash-admin": {"token": "s3cret"},
    "quash-database": {"url": "postgres://postgres@127.0.0.1:1/postgres"},
    "quash-people": {"alice": "4l1ce", "prometheus": "f1re"},
}
ADDRESS = {
    "redis": "redis://127.0.0.1:2/0",
    "existing": "redis://127.0.0.1:2/0",
    "rabbitmq": "amqp://127.0.0.1:2",
    "nats": "",
    "postgres": "redis://127.0.0.1:2/0",
}


@pytest.fixture(params=FIXTURES)
def fixture(request):
    return request.param


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_rendered_is_valid_for_kubernetes(fixture, version):
    found = render(values(fixture))
    for each in found:
        if each["apiVersion"] in schemas.ADDED:
            schemas.check(each)
        else:
            kubernetes_validate.validate(each, version, strict=True)
    assert {"ConfigMap", "Deployment", "Pod"} <= {each["kind"] for each in found}


def test_every_object_of_the_chart_is_in_a_fixture():
    kinds = {each["kind"] for name in FIXTURES for each in render(values(name))}
    assert kinds == {
        "ConfigMap",
        "Deployment",
        "Ingress",
        "NetworkPolicy",
        "Pod",
        "PodDisruptionBudget",
        "PodMonitor",
        "PrometheusRule",
        "ScaledObject",
        "Service",
        "ServiceAccount",
        "TriggerAuthentication",
    }


def test_the_chart_has_nothing_that_helm_would_complain_about(tmp_path):
    for name in FIXTURES:
        findings = helm.lint(str(CHART), values(name))
        assert not findings["errors"], findings
        assert [each["error"] for each in findings["messages"]] == ["icon is recommended"], findings


def test_the_configuration_in_it_passes_quash_check_and_its_cases_pass(fixture, tmp_path):
    secrets = copy.deepcopy(SECRETS)
    secrets["quash"]["queue-url"] = ADDRESS[fixture]
    found = render(values(fixture))
    maps = {"quash-configuration": EXISTING, "company-authority": {}}
    deployed = Pod(tmp_path / "worker", found, one(found, "Deployment")["spec"]["template"]["spec"], secrets, maps=maps)
    checked = deployed.run("quash", ["check", "-o", "json"])
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert json.loads(checked.stdout)
    tested = Pod(tmp_path / "test", found, one(found, "Pod")["spec"], secrets, maps=maps).run("quash")
    assert tested.returncode == 0, tested.stdout + tested.stderr
    cases = {"redis": 1, "rabbitmq": 1, "nats": 0, "existing": 0, "postgres": 0}[fixture]
    assert ("1 passed" in tested.stdout) == bool(cases), tested.stdout


def test_numbers_of_the_configuration_stay_whole():
    text = one(render(values("redis")), "ConfigMap", "quash")["data"]["quash.yaml"]
    assert "max_message_bytes: 4194304\n" in text


def pods(found):
    """What each kind of pods is made of, and the pod of `helm test`."""
    made = [each["spec"]["template"]["spec"] for each in found if each["kind"] == "Deployment"]
    return [*made, one(found, "Pod")["spec"]]


def test_no_secret_is_in_the_environment_and_none_in_a_config_map(fixture):
    for spec in pods(render(values(fixture))):
        for container in [*spec.get("initContainers", []), *spec["containers"]]:
            assert not [each for each in container["env"] if "valueFrom" in each]
            assert "QUASH_ADMIN_TOKEN_FILE" in [each["name"] for each in container["env"]]
        assert not spec["automountServiceAccountToken"]
        (secrets,) = [volume["projected"] for volume in spec["volumes"] if volume["name"] == "secrets"]
        assert secrets["defaultMode"] == 0o440


def test_every_container_is_confined(fixture):
    for spec in pods(render(values(fixture))):
        assert spec["securityContext"]["runAsNonRoot"]
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in [*spec.get("initContainers", []), *spec["containers"]]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }


@pytest.mark.parametrize(
    ("drain", "seconds"),
    [("25s", 30), ("200ms", 6), ("1m2.5s", 68), ("1h", 3605), ("90s", 95), (None, 30)],
)
def test_the_grace_period_is_the_drain_and_five_seconds(drain, seconds):
    given = values("nats")
    if drain:
        given["config"]["worker"] = {"drain": drain}
    found = render(given)
    assert one(found, "Deployment")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == seconds
    assert f"drain: {drain or '25s'}\n" in one(found, "ConfigMap", "quash")["data"]["quash.yaml"]


def test_a_changed_rule_makes_new_pods_unless_workers_watch():
    def checksums(reload, key):
        given = values("rabbitmq") | {"reload": reload}
        given["rules"]["shop"]["caches"]["product"]["key"] = key
        return one(render(given), "Deployment")["spec"]["template"]["metadata"]["annotations"]

    assert checksums("restart", "product:{id}") != checksums("restart", "products:{id}")
    assert checksums("watch", "product:{id}") == checksums("watch", "products:{id}")
    given = values("nats")
    before = one(render(given), "Deployment")["spec"]["template"]["metadata"]
    given["config"]["retry"] = {"max_attempts": 3}
    assert one(render(given), "Deployment")["spec"]["template"]["metadata"] != before


def test_the_names_that_keda_asks_for_are_those_of_the_worker():
    def trigger(name, broker, settings):
        given = values(name)
        given["config"]["sources"]["events"][broker] |= settings
        found = render(given)
        return one(found, "ScaledObject")["spec"]["triggers"][0], found

    at, found = trigger("redis", "redis_streams", {})
    assert at["metadata"]["stream"] == "shop.events"
    assert "consumerGroup" not in at["metadata"]
    refs = one(found, "TriggerAuthentication", at["authenticationRef"]["name"])["spec"]["secretTargetRef"]
    assert refs == [{"parameter": "password", "name": "quash", "key": "queue-password"}]
    at, _ = trigger("redis", "redis_streams", {"keep": "1h", "group": "pages"})
    assert (at["metadata"]["consumerGroup"], at["metadata"]["lagCount"]) == ("pages", "10000")
    assert "streamLength" not in at["metadata"]
    at, found = trigger("rabbitmq", "amqp", {})
    assert at["metadata"]["queueName"] == "shop.events"
    refs = one(found, "TriggerAuthentication", at["authenticationRef"]["name"])["spec"]["secretTargetRef"]
    assert refs == [{"parameter": "host", "name": "quash", "key": "queue-url"}]
    at, _ = trigger("nats", "nats", {})
    assert (at["metadata"]["stream"], at["metadata"]["consumer"]) == ("QUASH", "quash")
    at, _ = trigger("nats", "nats", {"stream": "SHOP", "consumer": "pages"})
    assert (at["metadata"]["stream"], at["metadata"]["consumer"]) == ("SHOP", "pages")


def test_the_defaults_that_keda_is_told_are_those_of_the_worker():
    schema = json.loads(subprocess.run([QUASH, "schema", "config"], capture_output=True, check=True).stdout)
    text = (CHART / "templates" / "_scaling.tpl").read_text()
    settings = [each["properties"] for each in schema["$defs"].values() if "properties" in each]
    for setting, belongs in [
        ("stream", "group"),
        ("group", "stream"),
        ("queue", "queue_type"),
        ("stream", "subject"),
        ("consumer", "subject"),
    ]:
        (default,) = {each[setting]["default"] for each in settings if setting in each and belongs in each}
        assert f'.{setting} | default "{default}"' in text, setting


def test_the_schema_knows_every_section_of_the_configuration():
    schema = json.loads(subprocess.run([QUASH, "schema", "config"], capture_output=True, check=True).stdout)
    ours = json.loads((CHART / "values.schema.json").read_text())["properties"]["config"]["properties"]
    assert set(schema["properties"]) - {"version", "admin"} == set(ours)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (changed("replica", 3), "replica"),
        (changed("replicas", 0), "/replicas"),
        (changed("replicas", "two"), "/replicas"),
        (changed("image.digest", "latest"), "/image/digest"),
        (changed("image.version", "1"), "version"),
        (changed("reload", "always"), "/reload"),
        (changed("config.admin", {"listen": "off"}), "admin"),
        (changed("config.cache", {}), "cache"),
        (changed("config.sources.events", {"kafka": {"url": "kafka://"}}), "/config/sources/events"),
        (changed("config.sources.events", {"amqp": {"queue": "q"}}), "/config/sources/events"),
        (changed("config.sources.events", {"memory": {}}), "/config/sources/events"),
        (changed("config.worker", {"name": "worker-1"}), "name"),
        (changed("config.worker", {"drain": "25"}), "/config/worker/drain"),
        (changed("rules", {"Shop.yaml": {"caches": {}}}), "Shop.yaml"),
        (changed("rules", {"shop": []}), "/rules/shop"),
        (changed("secrets.QUEUE_URL", "redis://queue"), "/secrets/QUEUE_URL"),
        (changed("secrets.QUASH_ADMIN_TOKEN", {"name": "quash", "key": "token"}), "QUASH_ADMIN_TOKEN"),
        (changed("secrets.QUASH_ADMIN_BOB_TOKEN", {"name": "quash", "key": "token"}), "QUASH_ADMIN_BOB_TOKEN"),
        # Its reference would be the path of the file of QUEUE_URL.
        (changed("secrets.QUEUE_URL_FILE", {"name": "quash", "key": "token"}), "QUEUE_URL_FILE"),
        (changed("secrets.queue-url", {"name": "quash", "key": "token"}), "queue-url"),
        (changed("admin.address", "localhost"), "/admin/address"),
        (changed("admin.port", 80), "/admin/port"),
        (changed("check.conect", False), "conect"),
        (changed("probes.liveness.path", "/"), "path"),
        (changed("autoscaling.minReplicas", 0), "/autoscaling/minReplicas"),
        (
            changed("autoscaling.sources.events", {"monitoring": "http://nats:8222/"}),
            "/autoscaling/sources/events/monitoring",
        ),
        (changed("podDisruptionBudget.maxUnavailable", 0), "/podDisruptionBudget/maxUnavailable"),
        (changed("resources.request", {}), "request"),
        # What the schema cannot see, the templates do.
        (changed("config.targets", {}), "config.targets"),
        (changed("config.sources", {}), "config.sources"),
        (changed("autoscaling.sources", {}), "autoscaling.sources.events.monitoring"),
        (changed("autoscaling.sources.other", {"monitoring": "nats:8222"}), "autoscaling.sources.other"),
    ],
)
def test_a_wrong_value_is_refused_and_named(change, named):
    given = values("nats")
    change(given)
    assert named in refused(given)


def test_keda_is_not_left_without_a_way_to_rabbitmq():
    given = values("rabbitmq")
    given["config"]["sources"]["events"]["amqp"]["url"] = "amqp://quash@rabbit/shop"
    assert "autoscaling.sources.events.authenticationRef" in refused(given)
    given["autoscaling"]["sources"] = {"events": {"authenticationRef": "rabbit"}}
    found = render(given)
    assert one(found, "ScaledObject")["spec"]["triggers"][0]["authenticationRef"] == {"name": "rabbit"}
    assert "TriggerAuthentication" not in [each["kind"] for each in found]


def united(values, more):
    """As Helm reads several files of values."""
    both = [key for key in values.keys() & more.keys() if isinstance(values[key], dict)]
    return {**values, **more, **{key: united(values[key], more[key]) for key in both}}


def test_the_values_in_the_documents_make_every_kind_of_pods():
    def fences(path):
        return re.findall(
            r"^ *(?:```yaml|cat >values.yaml [^\n]*)\n(.*?)^ *(?:```|END)$", path.read_text(), re.DOTALL | re.MULTILINE
        )

    for path, count in [(CHART / "README.md", 3), (ROOT / "docs" / "deploying.md", 4)]:
        found = [yaml.safe_load(fence) for fence in fences(path)]
        assert len(found) == count, path
        made = render(functools.reduce(united, found))
        kinds = {each["kind"] for each in made}
        assert {"PodMonitor", "PrometheusRule", "Deployment"} <= kinds
        assert ("ScaledObject" in kinds) == (count == 4)
        assert ("Ingress" in kinds) == (count == 3)
        names = [each["metadata"]["name"] for each in made if each["kind"] == "Deployment"]
        assert sorted(names) == ["quash", "quash-relay", "quash-ui"]


def test_users_that_the_cluster_chooses_can_be_left_out():
    given = values("redis") | {"podSecurityContext": {"runAsUser": None, "runAsGroup": None, "fsGroup": None}}
    context = one(render(given), "Deployment")["spec"]["template"]["spec"]["securityContext"]
    assert context == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


def test_rules_and_dashboard_are_those_that_were_tested():
    for name, text in generate.watching().items():
        assert (CHART / "files" / name).read_text() == text, "run deploy/generate.py"
    rules, dashboard = generate.watching().values()
    found = render(values("redis") | {"dashboard": {"enabled": True}})
    assert one(found, "PrometheusRule")["spec"] == yaml.safe_load(rules)
    (made,) = (each for each in found if each["metadata"]["name"] == "quash-dashboard")
    assert made["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(made["data"]["quash.json"]) == json.loads(dashboard)


def test_the_chart_has_the_version_of_the_program():
    said = subprocess.run([QUASH, "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (said, said)


def test_the_readme_has_every_value():
    text = (CHART / "values.yaml").read_text()
    told = [path for path, _ in generate.described(text)]

    def leaves(given, at=()):
        path = ".".join(at)
        if path in told:
            return
        assert isinstance(given, dict), f"values.yaml says nothing about {path}"
        assert given, f"values.yaml says nothing about {path}"
        for key, inner in given.items():
            leaves(inner, (*at, key))

    leaves(yaml.safe_load(text))
    assert (CHART / "README.md").read_text() == generate.readme(), "run deploy/generate.py"


def test_the_plain_manifests_are_those_of_the_chart():
    made = generate.plain_manifests()
    own = {"values.yaml", "kustomization.yaml"}
    there = {path.name: path.read_text() for path in generate.PLAIN.iterdir() if path.name not in own}
    assert there == made, "run deploy/generate.py"
    assert yaml.safe_load((generate.PLAIN / "kustomization.yaml").read_text())["resources"] == sorted(made)


def by_name(found):
    return {(each["kind"], each["metadata"]["name"]): each for each in found}


def kustomize(folder):
    built = subprocess.run([BIN / "kubectl", "kustomize", folder], capture_output=True, text=True, check=True)
    return [each for each in yaml.safe_load_all(built.stdout) if each]


def test_the_plain_manifests_are_a_base_for_kustomize(tmp_path):
    base = kustomize(generate.PLAIN)
    written = [each for text in generate.plain_manifests().values() for each in yaml.safe_load_all(text)]
    assert by_name(base) == by_name(written)
    # The overlay that kustomization.yaml shows.
    overlay = tmp_path / "overlay"
    overlay.mkdir()
    (tmp_path / "base").symlink_to(generate.PLAIN)
    (overlay / "shop.yaml").write_text("caches: {}\n")
    (overlay / "kustomization.yaml").write_text(
        yaml.safe_dump(
            {
                "resources": ["../base"],
                "configMapGenerator": [{"name": "quash-rules", "behavior": "replace", "files": ["shop.yaml"]}],
            }
        )
    )
    overlaid = kustomize(overlay)
    rules = next(each for each in overlaid if each["metadata"]["name"].startswith("quash-rules"))
    assert rules["data"] == {"shop.yaml": "caches: {}\n"}
    volumes = one(overlaid, "Deployment")["spec"]["template"]["spec"]["volumes"]
    assert {"name": "rules", "configMap": {"name": rules["metadata"]["name"]}} in volumes
