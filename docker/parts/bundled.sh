# Sourced by docker/check: examples/exec/Dockerfile on the legacy app's image, whose CMD and ENTRYPOINT it replaces.

part "examples/exec"
docker build --quiet --label "$label" --file examples/exec/Dockerfile --build-arg APP="$app" --build-arg MAILSHIM="$mailshim" \
    --tag "$bundled" examples/exec > "$tree/log" 2>&1 || fail "examples/exec/Dockerfile: $(cat "$tree/log")"
[ "$(docker image inspect -f '{{.Config.Entrypoint}} {{.Config.Cmd}} {{.Config.User}}' "$bundled")" = '[/mailshim exec --] [] 1000:1000' ] ||
    fail "the Dockerfile says that CMD is emptied"

volume=$(docker volume create --label "$label")
network=$id-bundled
docker network create --label "$label" "$network" > /dev/null
simulator=$(docker run -d --label "$label" --network "$network" --network-alias office365 -v "$volume:/simulated" "$office365" \
    --listen 0.0.0.0 --host office365 --ca-out /simulated/ca.pem --tenant contoso.com \
    --client-id 11111111-2222-3333-4444-555555555555 --client-secret simulated-secret)
until_true 30 "the simulator" docker exec "$simulator" /office365 --ca-out /simulated/ca.pem --healthcheck
# Its last mails leave after SIGTERM: the app traps it, sends by SMTP and by PHP's mail(), and ends with its own code.
last='php /app/legacy.php last 3; php -r "exit(mail(\"customer@example.com\", \"by-sendmail\", \"Hello.\", \"From: app@contoso.com\") ? 0 : 1);" && echo mailed; exit 7'
running=$(docker run -d --network "$network" "${locked_down[@]}" -v "$volume:/simulated:ro" \
    -e MAILSHIM_MAILBOX=app@contoso.com -e MAILSHIM_TENANT_ID=contoso.com \
    -e MAILSHIM_CLIENT_ID=11111111-2222-3333-4444-555555555555 -e MAILSHIM_CLIENT_SECRET=simulated-secret \
    -e MAILSHIM_UPSTREAM=office365:1587 -e MAILSHIM_CA_FILE=/simulated/ca.pem -e AZURE_AUTHORITY_HOST=https://office365:1443 \
    "$bundled" sh -c "trap '$(printf %s "$last" | sed "s/'/'\\\\''/g")' TERM; php /app/legacy.php first 1; echo up; while :; do sleep 1000 & wait \$!; done")
until_true 30 "the app's first mail: $(docker logs "$running" 2>&1)" eval "docker logs $running 2>&1 | has -x up"
docker stop -t 40 "$running" > /dev/null
docker logs "$running" > "$tree/said" 2>&1
[ "$(docker wait "$running")" = 7 ] || fail "exit code $(docker wait "$running"): $(cat "$tree/said")"
all_arrived() {
    docker logs "$simulator" 2>&1 | sed -n 's/.*  Subject: \(.*\)/\1/p' | sort > "$tree/arrived"
    printf '%s\n' by-sendmail first-1 last-1 last-2 last-3 | cmp -s - "$tree/arrived"
}
until_true 5 "five mails at Office 365; $(cat "$tree/said")" all_arrived
grep -qx mailed "$tree/said" || fail "PHP's mail(): $(cat "$tree/said")"
ok "examples/exec: the app sends by SMTP and by PHP's mail(), its last mails after SIGTERM too, and ends with its own code"
