# Sourced by docker/check: the image under `docker run`, with every restriction there is.

part "docker run"
# A real-looking configuration; what it names is not reached, which must keep nobody from starting.
settings=(-e MAILSHIM_MAILBOX=app@contoso.com -e MAILSHIM_TENANT_ID=contoso.onmicrosoft.com
    -e MAILSHIM_CLIENT_ID=8c1f6f3e-0b5d-4d0a-9a43-7f2b1c9e5d60 -e MAILSHIM_CLIENT_SECRET=simulated-secret)
start() { docker run -d --network none "${locked_down[@]}" "$@"; }

code=0
docker run --rm --network none "${locked_down[@]}" -e MAILSHIM_MAILBOX=nobody -e MAILSHIM_HOLD=1x -e MAILSHIM_LISTNE=x \
    -e MAILSHIM_LISTEN=0.0.0.0:25 "$mailshim" > "$tree/said" 2>&1 || code=$?
[ $code = 64 ] || fail "a bad configuration: exit code $code: $(cat "$tree/said")"
for name in MAILSHIM_MAILBOX MAILSHIM_HOLD MAILSHIM_LISTNE MAILSHIM_LISTEN; do
    grep -q "$name" "$tree/said" || fail "$name is not among the mistakes: $(cat "$tree/said")"
done
ok "a bad configuration: exit code 64, and every mistake named"

container=$(start "${settings[@]}" "$mailshim")
until_true 30 "health" healthy "$container"
status=/proc/$(docker inspect -f '{{.State.Pid}}' "$container")/status
grep -Eq '^Uid:\s65532\s65532\s65532\s65532' "$status" || fail "user: $(grep Uid "$status")"
grep -Eq '^CapEff:\s0+$' "$status" && grep -Eq '^CapBnd:\s0+$' "$status" && grep -Eq '^NoNewPrivs:\s1$' "$status" ||
    fail "privileges: $(cat "$status")"
docker logs "$container" 2>&1 | has 'listening address=127.0.0.1:25$' || fail "port 25: $(docker logs "$container" 2>&1)"
ok "healthy on port 25: read-only, user 65532, no capability, no new privileges"

pss=$(awk '/^Pss:/ { print $2 }' "${status%/status}/smaps_rollup")
request=$(sed -n 's/.*requests:.*memory: \([0-9]*\)Mi.*/\1/p' examples/kubernetes/*.yaml | sort -un)
[ "$pss" -le $((request * 1024)) ] || fail "idle it takes $pss KiB, and $request MiB are requested"
ok "idle it takes $pss KiB (PSS); the examples request $request MiB"

begin=$SECONDS
docker stop -t 30 "$container" > /dev/null
[ "$(docker wait "$container")" = 0 ] && [ $((SECONDS - begin)) -lt 10 ] || fail "docker stop: $(docker logs "$container" 2>&1)"
ok "docker stop ends it with 0"

part "another container cannot reach it"
docker network create --label "$label" "$id-shared" > /dev/null
near=$(docker run -d --network "$id-shared" "${locked_down[@]}" "${settings[@]}" -e MAILSHIM_HTTP_LISTEN=0.0.0.0:9025 "$mailshim")
until_true 30 "health" healthy "$near"
address=$(docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$near")
# The way is open: the metrics, which are meant for a scraper, arrive. The mail port is not there, under any name.
python_in() { docker run --rm --label "$label" --network "$1" "$app" python3 -c "$2"; }
python_in "$id-shared" "import urllib.request; print(urllib.request.urlopen('http://$address:9025/metrics', timeout=5).read().decode())" \
    | has mailshim_build_info || fail "the metrics do not reach a scraper"
python_in "$id-shared" "
import socket
try: socket.create_connection(('$address', 25), 5)
except ConnectionRefusedError: print('refused')" > "$tree/said" || true
grep -qx refused "$tree/said" || fail "port 25 from another container: $(cat "$tree/said")"
python_in "container:$near" "import smtplib; print(smtplib.SMTP('localhost').noop()[0])" | has -x 250 || fail "port 25 from the same namespace"
ok "port 25: refused from another container, answered in the namespace; metrics reach a scraper"
docker rm -f "$near" > /dev/null

part "as Kubernetes would start it"
# The environment of the examples, on top of what the kubelet injects for a Service called mailshim, and what AKS' webhook does.
injected=(MAILSHIM_SERVICE_HOST=10.0.0.1 MAILSHIM_SERVICE_PORT=25 MAILSHIM_SERVICE_PORT_SMTP=25 MAILSHIM_SERVICE_PORT_METRICS=9025
    MAILSHIM_PORT=tcp://10.0.0.1:25 MAILSHIM_PORT_25_TCP=tcp://10.0.0.1:25 MAILSHIM_PORT_25_TCP_PROTO=tcp
    MAILSHIM_PORT_25_TCP_PORT=25 MAILSHIM_PORT_25_TCP_ADDR=10.0.0.1 MAILSHIM_PORT_9025_TCP_ADDR=10.0.0.1)
aks=(AZURE_CLIENT_ID=00000000-0000-0000-0000-000000000000 AZURE_TENANT_ID=00000000-0000-0000-0000-000000000000
    AZURE_AUTHORITY_HOST=https://login.microsoftonline.com/ AZURE_FEDERATED_TOKEN_FILE=/secrets/azure-identity-token)
mkdir "$tree/secrets"
echo simulated-secret > "$tree/secrets/client-secret"
echo e30.e30.e30 > "$tree/secrets/azure-identity-token"
chmod -R a+rX "$tree" && chmod 444 "$tree"/secrets/*
for example in app job aks-workload-identity; do
    printf '%s\n' "${injected[@]}" > "$tree/env"
    [ $example != aks-workload-identity ] || printf '%s\n' "${aks[@]}" >> "$tree/env"
    manifest_environment examples/kubernetes/$example.yaml >> "$tree/env"
    container=$(start --user 65532 --sysctl net.ipv4.ip_unprivileged_port_start=0 --memory 32m --env-file "$tree/env" \
        -v "$tree/secrets:/secrets:ro" "$mailshim")
    until_true 30 "$example: health; $(docker logs "$container" 2>&1)" healthy "$container"
    docker rm -f "$container" > /dev/null
done
# Without the exemption these names would be mistakes: one that only looks like them is one.
code=0
docker run --rm --network none "${locked_down[@]}" "${settings[@]}" -e MAILSHIM_PORT=25 "$mailshim" > "$tree/said" 2>&1 || code=$?
[ $code = 64 ] && grep -q MAILSHIM_PORT "$tree/said" || fail "MAILSHIM_PORT=25: $code, $(cat "$tree/said")"
ok "the Kubernetes examples' environments start it, with the variables of a Service called mailshim, in 32 MiB"
