"""The Kubernetes examples, judged: `validate VERSION FILE…` and `environment FILE`."""

import sys

import kubernetes_validate
import yaml


def documents(path):
    with open(path) as file:
        return [document for document in yaml.safe_load_all(file) if document]


def pods(document):
    if document["kind"] in ("Deployment", "StatefulSet", "Job"):
        yield document["spec"]["template"]["spec"]


def containers(pod):
    return pod.get("initContainers", []) + pod["containers"]


def sidecar(pod):
    return next(container for container in pod["initContainers"] if container["name"] == "mailshim")


def restricted(pod):
    """What the restricted Pod Security standard asks for (kubernetes.io/docs/concepts/security/pod-security-standards)."""
    security = pod["securityContext"]
    assert security["runAsNonRoot"] is True
    assert security["seccompProfile"]["type"] == "RuntimeDefault"
    # The sysctls that the baseline calls safe.
    assert {sysctl["name"] for sysctl in security.get("sysctls", [])} <= {"net.ipv4.ip_unprivileged_port_start"}
    assert not any(pod.get(name) for name in ("hostNetwork", "hostPID", "hostIPC"))
    assert all(set(volume) - {"name"} <= {"secret", "emptyDir", "configMap", "projected", "persistentVolumeClaim"} for volume in pod.get("volumes", []))
    for container in containers(pod):
        own = container["securityContext"]
        assert own["allowPrivilegeEscalation"] is False, container["name"]
        assert own["capabilities"] == {"drop": ["ALL"]}, container["name"]
        assert own.get("runAsUser") != 0, container["name"]
        assert not any("hostPort" in port for port in container.get("ports", []))


def ours(pod):
    """What makes it a native sidecar that an app can rely on."""
    shim = sidecar(pod)
    assert shim["restartPolicy"] == "Always"
    assert shim["startupProbe"]["exec"]["command"] == ["/mailshim", "healthcheck"]
    assert "readinessProbe" not in shim, "a sign-in outage would take the app out of service"
    assert shim["securityContext"]["readOnlyRootFilesystem"] is True
    assert pod["enableServiceLinks"] is False
    assert pod["terminationGracePeriodSeconds"] > 25, "MAILSHIM_SHUTDOWN_GRACE"


def spooled(document, pod):
    """A spool has one shim: no two pods on one claim, and a claim that the shim may write."""
    shim = sidecar(pod)
    directory = next((variable["value"] for variable in shim["env"] if variable["name"] == "MAILSHIM_SPOOL_DIR"), None)
    if directory is None:
        return
    name = next(mount["name"] for mount in shim["volumeMounts"] if mount["mountPath"] == directory)
    assert pod["securityContext"]["fsGroup"] == shim["securityContext"]["runAsUser"] == 65532
    spec = document["spec"]
    if document["kind"] == "StatefulSet":
        assert [claim["metadata"]["name"] for claim in spec["volumeClaimTemplates"]] == [name]
    else:
        assert spec["replicas"] == 1 and spec["strategy"] == {"type": "Recreate"}
        assert any(volume["name"] == name and "persistentVolumeClaim" in volume for volume in pod["volumes"])


def validate(version, paths):
    for path in paths:
        for document in documents(path):
            kubernetes_validate.validate(document, version, strict=True)
            for pod in pods(document):
                restricted(pod)
                # A pod of nothing but mailshim (the Job that makes a fleet's schema) has no app that relies on it.
                if {container["image"] for container in containers(pod)} != {"mailshim"}:
                    ours(pod)
                    spooled(document, pod)


def environment(path):
    for document in documents(path):
        for pod in pods(document):
            for variable in sidecar(pod)["env"]:
                print(f"{variable['name']}={variable['value']}")


if sys.argv[1] == "validate":
    validate(sys.argv[2], sys.argv[3:])
else:
    environment(sys.argv[2])
