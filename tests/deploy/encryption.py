"""Rules about TLS: whose certificate is where, and who looks at it for which name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tests.deploy.commandline import DATABASE_CA, PASSWORD_FILE, TLS, parse, server
from tests.deploy.rendered import Cluster, Container, Object, name
from tests.deploy.running import key_at

NAME: Final = "CKV_TLS_NAME"

OF_NODES: Final = "ckv-tls"
OF_DATABASE: Final = "ckv-mysql-tls"
"""Secrets, with the keys that Kubernetes and cert-manager give them."""

SPEC: Final = {
    *("commonName", "dnsNames", "duration", "isCA", "issuerRef", "privateKey", "renewBefore", "secretName", "usages"),
}
"""What is known of a Certificate here: https://cert-manager.io/docs/reference/api-docs/#cert-manager.io/v1.CertificateSpec."""


def nodes(cluster: Cluster) -> Iterator[str]:
    """All nodes speak TLS, or none does; then certificate, key and authority are files of one Secret, and one name
    stands for all pods, also for their own probes."""
    told = {tuple(container.environ.get(each) for each in (*TLS, NAME)) for container in _nodes(cluster)}
    if len(told) != 1:
        yield f"the nodes have different options of TLS: {sorted(map(str, told))}"
    for container in _nodes(cluster):
        if not any(variable in container.environ for variable in TLS):
            continue
        keys = [key_at(container, container.environ.get(variable)) for variable in TLS]
        if keys != [(OF_NODES, "tls.crt"), (OF_NODES, "tls.key"), (OF_NODES, "ca.crt")]:
            yield f"{container.name}: reads {keys}"
        if not container.environ.get(NAME):
            yield f"{container.name}: a certificate of all pods does not have the host of each"


def database(cluster: Cluster) -> Iterator[str]:
    """Nodes look at the server's certificate and host, and it takes nobody without TLS; or nothing of that is so."""
    takes = dict(word.split("=", 1) for word in cluster.database.args if "=" in word)
    is_needed = takes.get("--require-secure-transport") == "ON"
    shown = [key_at(cluster.database, takes.get(option)) for option in ("--ssl-cert", "--ssl-key")]
    if shown != ([(OF_DATABASE, "tls.crt"), (OF_DATABASE, "tls.key")] if is_needed else [None, None]):
        yield f"{cluster.database.name}: shows {shown}, and {'takes no' if is_needed else 'takes'} others"
    for container in _nodes(cluster):
        if PASSWORD_FILE not in container.environ:
            continue
        settings = parse(container.args, container.environ)
        place = settings.persistent if container.role == "secondary" else settings.coordinator
        mode = server(place, container.environ).encryption.mode
        if mode != ("verify" if is_needed else "prefer"):
            yield f"{container.name}: TLS is {mode}, and the server {'needs it' if is_needed else 'has none'}"
        if is_needed and key_at(container, container.environ.get(DATABASE_CA)) != (OF_DATABASE, "ca.crt"):
            yield f"{container.name}: does not trust whoever has signed the server's certificate"


def certificates(cluster: Cluster) -> Iterator[str]:
    """What cert-manager makes is what pods mount, with the names that are looked for, by an issuer that is there.
    Nobody has the key of the authority."""
    mounted = set(_mounted(cluster))
    for thing in cluster.of_kind("Certificate"):
        spec = thing["spec"]
        if spec.keys() - SPEC:
            yield f"{name(thing)}: {sorted(spec.keys() - SPEC)}"
        if cluster.find(spec["issuerRef"]["kind"], spec["issuerRef"]["name"]) is None:
            yield f"{name(thing)}: there is no issuer {spec['issuerRef']['name']}"
        if (spec["secretName"] in mounted) == spec.get("isCA", False):
            yield f"{name(thing)}: {spec['secretName']} is mounted {'by pods' if spec.get('isCA') else 'by none'}"
        missing = _hosts(cluster).get(spec["secretName"], set()) - set(spec.get("dnsNames", []))
        if missing:
            yield f"{name(thing)}: is not for {', '.join(sorted(missing))}"
    issued = {thing["spec"]["secretName"] for thing in cluster.of_kind("Certificate")}
    for issuer in cluster.of_kind("Issuer"):
        if "ca" in issuer["spec"] and issuer["spec"]["ca"]["secretName"] not in issued:
            yield f"{name(issuer)}: nobody makes its authority"


def _nodes(cluster: Cluster) -> list[Container]:
    return [container for container in cluster.containers() if container.is_ckv]


def _mounted(cluster: Cluster) -> Iterator[str]:
    for container in cluster.containers():
        for volume in container.pod.get("volumes", []):
            if "secret" in volume:
                yield volume["secret"]["secretName"]


def _hosts(cluster: Cluster) -> dict[str, set[str]]:
    """Secret to the names that are looked for in its certificate, by nodes, and by clients in any namespace."""
    (secondary,) = cluster.of_role("secondary")
    service: Object | None = cluster.find("Service", "ckv")
    assert service is not None
    host, namespace = service["metadata"]["name"], service["metadata"]["namespace"]
    place = server(parse(secondary.args, secondary.environ).persistent, secondary.environ)
    return {
        OF_NODES: {secondary.environ.get(NAME, ""), host, f"{host}.{namespace}"},
        OF_DATABASE: {place.address.host},
    }
