# Sourced by docker/check: the Kubernetes examples against Kubernetes' own schemas and its restricted Pod Security
# standard, and the systemd unit. Needs no container engine.

part "Kubernetes' schemas"
# It bundles the OpenAPI schemas of each release, strict (an unknown field is an error): nothing is fetched.
validator=1.37.0
python3 -m venv "$tree/venv" 2> /dev/null || { need python3-venv-is-missing python3-venv || true; python3 -m venv "$tree/venv"; }
"$tree/venv/bin/pip" install -q --disable-pip-version-check "kubernetes-validate==$validator"
manifest() { "$tree/venv/bin/python" docker/parts/manifest.py "$@"; }
# NAME=value lines of the sidecar's environment
manifest_environment() { manifest environment "$1"; }
for version in 1.29.0 1.37.0; do
    manifest validate $version examples/kubernetes/*.yaml || fail "Kubernetes $version"
    ok "the Kubernetes examples are valid for $version (kubernetes-validate $validator), and restricted"
done
