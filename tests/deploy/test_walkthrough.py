"""The commands of docs/kubernetes.md: what they name is there, and what they have ckv do, ckv can do."""

from __future__ import annotations

import re
import subprocess
from typing import Any

import pytest
import yaml

import ckv
from ckv.protocol.limits import IDLE_CONNECTION_BYTES, KIB, MIB, TLS_BYTES
from tests.deploy.commandline import parse
from tests.deploy.rendered import DEPLOY, KUBECTL, OVERLAYS, Cluster, objects
from tests.deploy.running import (
    OF_A_NODE,
    RECORD_OVERHEAD,
    TLS_SESSION_BYTES,
    TLS_SESSION_BYTES_OF_KNOWN,
    TLS_SESSIONS,
)
from tests.deploy.walkthrough import PAGE, commands, secrets_made, words
from tests.support.nodes import ROOT

KINDS = {"statefulset": "StatefulSet", "deployment": "Deployment", "service": "Service", "namespace": "Namespace"}


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    return Cluster(objects(ROOT / "deploy/overlays/local"))


def all_that(pattern: str) -> list[Any]:
    """Every match of a pattern in the commands, a tuple if it has several groups.

    There is at least one: else the page has changed, and nothing would be tested.
    """
    found = [match for command in commands() for match in re.findall(pattern, command)]
    assert found, pattern
    return found


def test_the_folders_that_are_applied_are_there() -> None:
    assert {ROOT / folder for folder in all_that(r"kubectl (?:apply|delete) -k (\S+)")} <= set(OVERLAYS)
    for file in all_that(r"kubectl apply -f (\S+)"):
        assert (ROOT / file).is_file()


def test_the_objects_that_are_named_are_there(cluster: Cluster) -> None:
    for kind, called in all_that(rf"\b({'|'.join(KINDS)})[/ ]([\w-]+)"):
        assert cluster.find(KINDS[kind], called) is not None, f"{kind}/{called}"
    (namespace,) = cluster.of_kind("Namespace")
    assert set(all_that(r" -n (\S+)")) == {namespace["metadata"]["name"]}


def test_the_pods_that_are_named_exist(cluster: Cluster) -> None:
    for workload, number in all_that(r" exec (?:-\S+ )*([a-z-]+)-(\d+) "):
        thing = cluster.find("StatefulSet", workload)
        assert thing is not None
        assert int(number) < thing["spec"].get("replicas", 1)


def test_the_selectors_take_pods(cluster: Cluster) -> None:
    for label, value in all_that(r"--selector (\S+?)=(\S+)"):
        pods = [thing["spec"]["template"]["metadata"]["labels"] for thing in cluster.workloads]
        assert [labels for labels in pods if labels.get(label) == value]


def test_ckv_takes_its_commands(cluster: Cluster) -> None:
    primary, secondary = cluster.of_role("primary")[0], cluster.of_role("secondary")[0]
    program = primary.probes["startupProbe"]["exec"]["command"][0]
    asked = set()
    # In a running pod the program is named; a pod of its own begins with it.
    for start, arguments in all_that(r"(exec .*|run .*) -- (.*)$"):
        given = words(arguments)
        if start.startswith("exec"):
            assert given.pop(0) == program
        asked.add((given[0], parse(given, secondary.environ).address.port))
    asks_primary, asks_secondary = primary.port_numbers[0], secondary.port_numbers[0]
    assert asked == {
        ("shell", asks_primary), ("demo", asks_primary), ("slots", asks_primary), ("drain", asks_primary),
        ("status", asks_secondary), ("verify", asks_secondary),
    }  # fmt: skip


def test_the_secret_of_the_database_can_be_made(tmp_path_factory: pytest.TempPathFactory) -> None:
    (command,) = (command for command in commands() if "create secret generic ckv-mysql " in command)
    run = subprocess.run(
        ["bash", "-c", f"{command} --dry-run=client --output=yaml"],
        check=True, capture_output=True, text=True,
        env={"PATH": f"{KUBECTL.parent}:/usr/bin:/bin", "HOME": str(tmp_path_factory.mktemp("home"))},
    )  # fmt: skip
    secret = yaml.safe_load(run.stdout)
    assert set(secret["data"]) == secrets_made()[secret["metadata"]["name"]]
    assert len(set(secret["data"].values())) == len(secret["data"]), "the passwords are not random"


def test_certificates_that_are_made_by_hand_have_the_names_of_those_of_cert_manager() -> None:
    made = dict(all_that(r"deploy/certificate \.\./certificates (\S+) (\S+)"))
    assert made == {
        thing["spec"]["secretName"]: ",".join(f"DNS:{host}" for host in thing["spec"]["dnsNames"])
        for thing in yaml.safe_load_all((DEPLOY / "components/cert-manager/certificates.yaml").read_text())
    }
    for name in made:
        for key, file in (("ca.crt", "ca.crt"), ("tls.crt", f"{name}.crt"), ("tls.key", f"{name}.key")):
            assert all_that(rf"create secret generic {name} .*--from-file={key}=\.\./certificates/{file}(?: |$)")


def test_the_image_that_is_loaded_is_the_one_that_runs(cluster: Cluster) -> None:
    image = cluster.of_role("primary")[0].spec["image"]
    assert set(all_that(r"(?:image load |--image=)(\S+)")) == {image} == {f"ckv:{ckv.__version__}"}


def test_a_client_has_the_label_that_the_primaries_ask_for(cluster: Cluster) -> None:
    policy = cluster.find("NetworkPolicy", "ckv-primary")
    assert policy is not None
    source, _secondaries = policy["spec"]["ingress"][0]["from"]
    ((label, value),) = source["podSelector"]["matchLabels"].items()
    assert all_that(r"--labels=(\S+)") == [f"{label}={value}"]


def test_what_a_client_takes_is_what_the_limits_are_checked_with() -> None:
    page = " ".join(PAGE.read_text().split())
    assert f"{OF_A_NODE // MIB} MiB for the node, and {IDLE_CONNECTION_BYTES // KIB} KiB for each of" in page
    assert f"reckon with {(IDLE_CONNECTION_BYTES + TLS_BYTES) // KIB} KiB for each" in page
    few, many = (TLS_SESSIONS * each // MIB for each in (TLS_SESSION_BYTES, TLS_SESSION_BYTES_OF_KNOWN))
    assert f"{few} MiB for sessions of TLS 1.2, or {many} MiB where clients need certificates" in page


def test_the_size_of_a_record_is_the_one_that_the_limits_are_checked_with() -> None:
    assert f"(bytes of key and value + {RECORD_OVERHEAD} bytes)" in PAGE.read_text()
