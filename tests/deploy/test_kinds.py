"""Holds pods of relays and of the page to those of workers, and what stands around each kind to its pods alone."""

import copy

import generate
import pytest
import yaml

from chart import changed, refused, render, values
from pod import one

NAMES = {"worker": "quash", "relay": "quash-relay", "ui": "quash-ui"}


@pytest.fixture
def found():
    return render(values("postgres"))


def component(labels):
    return labels["app.kubernetes.io/component"]


def selected(found, selector):
    """The kinds of pods that a selector means, and the pod of `helm test` where it is among them."""
    labels = [each["spec"]["template"]["metadata"]["labels"] for each in found if each["kind"] == "Deployment"]
    labels.append(one(found, "Pod")["metadata"]["labels"])
    return {component(each) for each in labels if selector.items() <= each.items()}


def test_only_workers_run_unless_more_is_asked_for():
    found = render(values("redis"))
    assert [each["metadata"]["name"] for each in found if each["kind"] == "Deployment"] == ["quash"]
    assert not [each for each in found if each["kind"] in ("Service", "Ingress")]


@pytest.mark.parametrize("kind", NAMES)
def test_each_kind_is_selected_alone(found, kind):
    deployment = one(found, "Deployment", NAMES[kind])
    assert selected(found, deployment["spec"]["selector"]["matchLabels"]) == {kind}
    for spread in deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]:
        assert selected(found, spread["labelSelector"]["matchLabels"]) == {kind}
    budget = one(found, "PodDisruptionBudget", NAMES[kind])["spec"]
    assert selected(found, budget["selector"]["matchLabels"]) == {kind}
    # A job of its own: a relay that answers must not hide that no worker does.
    monitor = one(found, "PodMonitor", NAMES[kind])["spec"]
    assert selected(found, monitor["selector"]["matchLabels"]) == {kind}


def test_the_network_policy_is_about_every_pod_and_lets_others_to_the_page_alone(found):
    everywhere = one(found, "NetworkPolicy", "quash")["spec"]
    assert selected(found, everywhere["podSelector"]["matchLabels"]) == {*NAMES, "test"}
    page = one(found, "NetworkPolicy", "quash-ui")["spec"]
    assert selected(found, page["podSelector"]["matchLabels"]) == {"ui"}
    (rule,) = page["ingress"]
    assert rule["from"][0]["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "ingress-nginx"}
    assert rule["ports"] == [{"port": "admin", "protocol": "TCP"}]
    # Where everybody may come already, there is nothing to add.
    given = values("postgres")
    given["networkPolicy"]["metricsFrom"] = []
    assert [each["metadata"]["name"] for each in render(given) if each["kind"] == "NetworkPolicy"] == ["quash"]


def test_the_kinds_differ_in_what_they_do_alone(found):
    def template(kind):
        made = copy.deepcopy(one(found, "Deployment", NAMES[kind])["spec"]["template"])
        assert component(made["metadata"]["labels"]) == kind
        made["metadata"]["labels"].pop("app.kubernetes.io/component")
        for spread in made["spec"]["topologySpreadConstraints"]:
            spread["labelSelector"]["matchLabels"].pop("app.kubernetes.io/component")
        (container,) = made["spec"]["containers"]
        return made, container.pop("args"), made["spec"].pop("initContainers", [])

    worker, args, check = template("worker")
    assert (args, [each["args"] for each in check]) == (["run", "--watch"], [["check", "--connect"]])
    # Workers alone read rules again while they run.
    assert "checksum/rules" not in worker["metadata"]["annotations"]
    for kind in ("relay", "ui"):
        other, args, check = template(kind)
        assert (args, check) == ([kind], [])
        assert other["metadata"]["annotations"].pop("checksum/rules")
        assert other == worker
    replicas = {kind: one(found, "Deployment", name)["spec"]["replicas"] for kind, name in NAMES.items()}
    assert replicas == {"worker": 2, "relay": 2, "ui": 1}


@pytest.mark.parametrize("kind", ["relay", "ui"])
def test_replicas_and_resources_are_those_of_the_kind(kind):
    given = values("postgres")
    given[kind] |= {"replicas": 3, "resources": {"limits": {"memory": "1Gi"}}}
    given |= {"autoscaling": {"enabled": True, "sources": {"events": {"address": "queue:6379"}}}}
    found = render(given)
    made = one(found, "Deployment", NAMES[kind])["spec"]
    assert made["replicas"] == 3
    assert made["template"]["spec"]["containers"][0]["resources"]["limits"] == {"memory": "1Gi"}
    worker = one(found, "Deployment", "quash")["spec"]
    assert "replicas" not in worker
    assert worker["template"]["spec"]["containers"][0]["resources"]["limits"] == {"memory": "512Mi"}
    assert one(found, "ScaledObject")["spec"]["scaleTargetRef"] == {"name": "quash"}


def test_the_page_is_behind_its_service_and_its_ingress(found):
    service = one(found, "Service")
    assert service["metadata"]["name"] == "quash-ui"
    assert selected(found, service["spec"]["selector"]) == {"ui"}
    (port,) = service["spec"]["ports"]
    (container,) = one(found, "Deployment", "quash-ui")["spec"]["template"]["spec"]["containers"]
    assert port["targetPort"] in [each["name"] for each in container["ports"]]
    ingress = one(found, "Ingress")["spec"]
    backend = ingress["rules"][0]["http"]["paths"][0]["backend"]["service"]
    assert backend == {"name": "quash-ui", "port": {"name": port["name"]}}
    assert ingress["tls"] == [{"hosts": [ingress["rules"][0]["host"]], "secretName": "quash-page"}]
    assert ingress["ingressClassName"] == "nginx"

    given = values("postgres")
    given["ui"]["ingress"] = {"host": "quash.shop.example"}
    assert set(one(render(given), "Ingress")["spec"]) == {"rules"}
    del given["ui"]["ingress"]
    assert "Ingress" not in [each["kind"] for each in render(given)]


def test_tokens_are_files_and_prometheus_gets_the_one_that_may_only_look(found):
    config = yaml.safe_load(one(found, "ConfigMap", "quash")["data"]["quash.yaml"])
    assert config["admin"] == {
        "listen": "0.0.0.0:9464",
        "token": "${QUASH_ADMIN_TOKEN}",
        "tokens": {
            "alice@shop.example": {"token": "${QUASH_ADMIN_ALICE_SHOP_EXAMPLE_TOKEN}", "role": "operator"},
            "prometheus": {"token": "${QUASH_ADMIN_PROMETHEUS_TOKEN}", "payloads": "hidden"},
        },
    }
    for name in NAMES.values():
        spec = one(found, "Deployment", name)["spec"]["template"]["spec"]
        (secrets,) = [volume["projected"]["sources"] for volume in spec["volumes"] if volume["name"] == "secrets"]
        files = {each["secret"]["items"][0]["path"]: each["secret"] for each in secrets}
        alice = files["QUASH_ADMIN_ALICE_SHOP_EXAMPLE_TOKEN"]
        assert (alice["name"], alice["items"][0]["key"]) == ("quash-people", "alice")
        monitor = one(found, "PodMonitor", name)["spec"]["podMetricsEndpoints"][0]
        assert monitor["authorization"]["credentials"] == {"name": "quash-people", "key": "prometheus"}
    given = values("postgres")
    del given["podMonitor"]["token"]
    monitor = one(render(given), "PodMonitor")["spec"]["podMetricsEndpoints"][0]
    assert monitor["authorization"]["credentials"] == {"name": "quash", "key": "admin-token"}


def test_whatever_a_name_is_its_token_comes_from_its_file():
    given = values("postgres")
    names = ["file", "admin", "admin_token", "x", "x-token_file"]
    given["admin"]["tokens"] |= {name: {"token": {"name": "quash-people", "key": name}} for name in names}
    found = render(given)
    tokens = yaml.safe_load(one(found, "ConfigMap", "quash")["data"]["quash.yaml"])["admin"]["tokens"]
    spec = one(found, "Deployment", "quash-ui")["spec"]["template"]["spec"]
    variables = {each["name"]: each["value"] for each in spec["containers"][0]["env"]}
    (secrets,) = [volume["projected"]["sources"] for volume in spec["volumes"] if volume["name"] == "secrets"]
    keys = {item["path"]: item["key"] for each in secrets for item in each["secret"]["items"]}
    for name in names:
        variable = tokens[name]["token"].removeprefix("${").removesuffix("}")
        # Or it would be the path of a file, which everybody can guess.
        assert variable not in variables
        assert keys[variables[f"{variable}_FILE"].rpartition("/")[2]] == name


def test_an_existing_config_map_may_declare_the_relay():
    found = render(values("existing") | {"relay": {"enabled": True}})
    assert one(found, "Deployment", "quash-relay")


def test_long_names_stay_names():
    found = render(values("postgres") | {"fullnameOverride": "q" * 63})
    names = [each["metadata"]["name"] for each in found if each["kind"] in ("Deployment", "Service")]
    assert len(set(names)) == 3, names
    assert max(map(len, names)) <= 63


def test_the_notes_say_how_to_reach_the_page_and_who_relays():
    notes = generate.rendered(values("postgres"), namespace="shop")["templates/NOTES.txt"]
    assert "kubectl -n shop port-forward service/quash-ui 9464\n" in notes
    assert "https://quash.shop.example/" in notes
    assert """get secret quash -o go-template='{{ index .data "admin-token" | base64decode }}'\n""" in notes
    selector = "app.kubernetes.io/name=quash,app.kubernetes.io/instance=quash,app.kubernetes.io/component=relay"
    assert f"logs --prefix -l {selector}\n" in notes
    of_workers = generate.rendered(values("redis"))["templates/NOTES.txt"]
    assert "relay" not in of_workers
    assert "port-forward" not in of_workers


BOB = {"name": "quash-people", "key": "bob"}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (changed("relay.replicas", 0), "/relay/replicas"),
        (changed("relay.slot", "quash"), "slot"),
        (changed("ui.replica", 1), "replica"),
        (changed("ui.replicas", "one"), "/ui/replicas"),
        (changed("ui.resources", {"limit": {}}), "limit"),
        (changed("ui.ingress.host", "https://quash.shop.example"), "/ui/ingress/host"),
        (changed("ui.ingress.hosts", ["quash.shop.example"]), "hosts"),
        (changed("ui.ingress.tls", [{"secretName": "quash-page"}]), "/ui/ingress/tls"),
        (changed("networkPolicy.uiFrom", [{}]), "/networkPolicy/uiFrom"),
        (changed("admin.tokens.bob", {}), "/admin/tokens/bob"),
        (changed("admin.tokens.bob", {"token": "s3cret"}), "/admin/tokens/bob/token"),
        (changed("admin.tokens.bob", {"token": BOB, "role": "admin"}), "/admin/tokens/bob/role"),
        (changed("admin.tokens.bob", {"token": BOB, "payloads": False}), "/admin/tokens/bob/payloads"),
        (changed("admin.tokens.local", {"token": BOB}), "local"),
        (changed("admin.tokens.the boss", {"token": BOB}), "the boss"),
        # What the schema cannot see, the templates do.
        (changed("config.relay", {}), "relay.enabled: there is nothing to relay"),
        (changed("admin.tokens.Prometheus", {"token": BOB}), "differs from it in case or punctuation alone"),
        (changed("podMonitor.token", "grafana"), "podMonitor.token: admin.tokens has no grafana"),
    ],
)
def test_a_wrong_value_is_refused_and_named(change, named):
    given = values("postgres")
    change(given)
    assert named in refused(given)
