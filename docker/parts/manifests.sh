# Sourced by docker/check: the Kubernetes examples against Kubernetes' own schemas and its restricted Pod Security
# standard, and the systemd unit. Needs no container engine.

part "Kubernetes' schemas"
# It bundles the OpenAPI schemas of each release, strict (an unknown field is an error): nothing is fetched.
validator=1.37.0
need python3 python3
python3 -m ensurepip --version > /dev/null 2>&1 || need ensurepip python3-venv
python3 -m venv "$tree/venv"
"$tree/venv/bin/pip" install -q --disable-pip-version-check "kubernetes-validate==$validator"
manifest() { "$tree/venv/bin/python" docker/parts/manifest.py "$@"; }
# NAME=value lines of the sidecar's environment
manifest_environment() { manifest environment "$1"; }
for version in 1.29.0 1.37.0; do
    manifest validate $version examples/kubernetes/*.yaml || fail "Kubernetes $version"
    ok "the Kubernetes examples are valid for $version (kubernetes-validate $validator), and restricted"
done

part "the Kustomize component"
if command -v kubectl > /dev/null || [ "$(id -u)" = 0 ]; then
    need kubectl kubernetes-client
    mkdir "$tree/kustomize"
    cp -r examples/kubernetes/component "$tree/kustomize/mailshim"
    docker/parts/component "$tree/kustomize" || fail "the component"
    ok "the component puts mailshim beside the labelled workloads alone, and leaves the app's sysctls and volumes"
else
    echo "SKIPPED: the Kustomize component: kubectl is missing, and only root can install it"
fi

part "the systemd unit"
if command -v systemd-analyze > /dev/null || [ "$(id -u)" = 0 ]; then
    need systemd-analyze systemd
    # `verify` wants the program to be there; anything executable will do.
    sed 's|^ExecStart=/usr/local/bin/mailshim|ExecStart=/usr/bin/env|' examples/systemd/mailshim.service > "$tree/mailshim.service"
    systemd-analyze verify --man=no "$tree/mailshim.service" > "$tree/said" 2>&1 && ! grep -q mailshim.service "$tree/said" ||
        fail "the unit: $(cat "$tree/said")"
    # 1.7 of 10 today; what remains is the network, which it is for.
    systemd-analyze security --no-pager --offline=true --threshold=20 "$tree/mailshim.service" > "$tree/said" ||
        fail "exposed: $(tail -1 "$tree/said")"
    # Each secret that a variable names is a credential that is loaded, and none is in the environment.
    loaded=$(sed -n 's/^LoadCredential=\([a-z-]*\):.*/\1/p' examples/systemd/mailshim.service | sort)
    named=$(sed -n 's|^Environment=MAILSHIM_[A-Z_]*_FILE=%d/||p' examples/systemd/mailshim.service | sort)
    [ -n "$loaded" ] && [ "$loaded" = "$named" ] || fail "credentials: loaded $loaded, named $named"
    ok "the unit is valid and hardened, $(tail -1 "$tree/said" | grep -o '[0-9.]* OK'); its credentials are those that its variables name"
else
    echo "SKIPPED: the systemd unit: systemd-analyze is missing, and only root can install it"
fi
