# Sourced by docker/check: the compose examples, brought up as they are written; a second file adds the simulated
# Office 365 and the labels. Mail is sent by the legacy app in its container, and counted at the simulator.

if docker compose version > /dev/null 2>&1; then
    compose_program=(docker compose)
else
    need docker-compose docker-compose
    compose_program=(docker-compose)
fi
# Compose v1 refuses `restart: true` under depends_on, which Compose has known since 2.17: left out for it alone.
readable() {
    if "${compose_program[@]}" version | has 'version 1\.'; then
        grep -v '^        restart: true$' "examples/compose/$1" > "$tree/$1"
    else
        cp "examples/compose/$1" "$tree/$1"
    fi
}
for file in demo dev app namespace staging; do readable $file.yaml; done

echo simulated-secret > "$tree/client-secret"
chmod 644 "$tree/client-secret"
export MAILSHIM_IMAGE=$mailshim OFFICE365_IMAGE=$office365 APP_IMAGE=$app PAUSE_IMAGE=$app APP_PORT=0
export MAILSHIM_MAILBOX=app@contoso.com MAILSHIM_TENANT_ID=contoso.com
export MAILSHIM_CLIENT_ID=11111111-2222-3333-4444-555555555555 MAILSHIM_CLIENT_SECRET_FILE=$tree/client-secret
export STAGING_MAILBOX=staging@contoso.com

labels="labels: { ${label/=/: } }"
cat > "$tree/labels.yaml" << END
services:
  mailshim: { $labels }
  app: { $labels }
  office365: { $labels }
networks: { default: { $labels } }
volumes: { simulated: { $labels } }
END
cat > "$tree/simulated.yaml" << END
services:
  office365:
    image: $office365
    command: ["--listen", "0.0.0.0", "--host", "office365", "--ca-out", "/simulated/ca.pem", "--latency", "5"]
    environment:
      OFFICE365_MAILBOX: app@contoso.com
      OFFICE365_TENANT: contoso.com
      OFFICE365_CLIENT_ID: 11111111-2222-3333-4444-555555555555
      OFFICE365_CLIENT_SECRET: simulated-secret
    volumes: ["simulated:/simulated"]
    healthcheck:
      test: ["CMD", "/office365", "--ca-out", "/simulated/ca.pem", "--healthcheck"]
      interval: 1s
      retries: 30
  mailshim:
    environment:
      MAILSHIM_UPSTREAM: office365:1587
      MAILSHIM_CA_FILE: /simulated/ca.pem
      AZURE_AUTHORITY_HOST: https://office365:1443
      MAILSHIM_MESSAGES_PER_MINUTE: "0"
      MAILSHIM_HOLD: 5s
    volumes: ["simulated:/simulated:ro"]
    depends_on: { office365: { condition: service_healthy } }
    healthcheck: { test: ["CMD", "/mailshim", "healthcheck"], interval: 1s, retries: 30 }
END
printf 'services: { namespace: { %s } }\n' "$labels" > "$tree/holder.yaml"

# project NAME FILE…: the files that the next words are about
project() {
    local file
    name=$id-$1
    shift
    files=()
    for file; do files+=(-f "$tree/$file.yaml"); done
    files+=(-f "$tree/labels.yaml")
}
compose() { "${compose_program[@]}" --project-directory examples/compose -p "$name" "${files[@]}" "$@" < /dev/null; }
container() { compose ps -q "$1"; }
up() { compose up -d > "$tree/log" 2>&1 || fail "$name: $(cat "$tree/log")"; }
down() { compose down -v -t 5 > "$tree/log" 2>&1 || fail "$name: $(cat "$tree/log")"; }
in_app() { timeout 120 docker exec "$(container app)" "$@"; }
arrived() { docker logs "$(container office365)" 2>&1 | sed -n 's/.*  Subject: \(.*\)/\1/p'; }
# sends SUBJECT: one mail of the legacy app, answered 250, arrives
sends() {
    in_app php /app/legacy.php "$1" 1 > "$tree/said" 2>&1 || fail "$1: $(cat "$tree/said"; compose logs --tail=40 mailshim)"
    until_true 5 "$1 at Office 365" eval "arrived | has -x '$1-1'"
}
refused() { ! in_app php /app/legacy.php "$1" 1 > "$tree/said" 2>&1 && grep -q "^refused $1-1 $2" "$tree/said"; }

part "compose: demo.yaml"
project demo demo
timeout 120 "${compose_program[@]}" --project-directory examples/compose -p "$name" "${files[@]}" up --no-color \
    --abort-on-container-exit --exit-code-from app > "$tree/said" 2>&1 < /dev/null || fail "demo.yaml: $(cat "$tree/said")"
compose logs --no-color office365 >> "$tree/said" 2>&1
grep -q 'office365.*RCPT TO:<customer@example.com>.*Subject: Hello from an old app' "$tree/said" || fail "nothing arrived: $(cat "$tree/said")"
grep -q 'app.*Office 365 has taken my mail' "$tree/said" || fail "the app said: $(cat "$tree/said")"
! grep -q VIOLATION "$tree/said" || fail "$(cat "$tree/said")"
down
ok "demo.yaml: one command, and what arrived is printed"

part "compose: README.md"
# The quick start as it is written, but for the names of images and mailbox, and a port that is free.
sed -n '/^```yaml$/,/^```$/p' README.md | sed -e '/^```/d' -e 's/, restart: true//' -e "s|image: mailshim|image: $mailshim|" \
    -e "s|image: your-app|image: $app|" -e 's/8080:80/0:80/' -e "s|noreply@contoso.com|$MAILSHIM_MAILBOX|" \
    -e "s|^\( *MAILSHIM_TENANT_ID:\).*|\1 $MAILSHIM_TENANT_ID|" -e "s|^\( *MAILSHIM_CLIENT_ID:\).*|\1 $MAILSHIM_CLIENT_ID|" \
    -e "s|\./client-secret.txt|$tree/client-secret|" > "$tree/readme.yaml"
project readme readme simulated
docker run --rm --label "$label" -e MAILSHIM_MAILBOX=noreply@contoso.com "$mailshim" setup 2> /dev/null | has 'Connect-ExchangeOnline' || fail "setup prints no script"
compose run --rm -T mailshim check --send app@contoso.com > "$tree/said" 2>&1 || fail "README.md's check: $(cat "$tree/said")"
has '^mail goes out' < "$tree/said" || fail "$(cat "$tree/said")"
up
sends first-mail
compose logs --no-color mailshim | has 'accepted .*customer@example.com' || fail "no line of text: $(compose logs mailshim)"
down
ok "README.md's quick start: setup, check --send, the app's first mail, its line in the log"

part "compose: dev.yaml"
project dev dev
up
sends laptop
down
ok "dev.yaml: the app's mail arrives at the simulated Office 365, without an account"

part "compose: app.yaml"
project app app simulated
up
sends written
in_app sh -c 'php -d "sendmail_path=/usr/bin/msmtp --host=localhost --port=25 --from=app@contoso.com -t" \
    -r "exit(mail(\"customer@example.com\", \"php-mail\", \"Hello.\", \"From: app@contoso.com\") ? 0 : 1);"' || fail "PHP's mail() by msmtp"
until_true 5 "the mail of PHP's mail()" eval "arrived | has -x php-mail"
ok "app.yaml: the app's mail, and PHP's mail() with msmtp, arrive"

docker restart -t 5 "$(container app)" > /dev/null
sends app-restarted
ok "app.yaml: the app is restarted, and goes on sending"

# Cut: the simulator is off the network that it shares with mailshim. The connection that is open goes stale.
docker network disconnect "${name}_default" "$(container office365)"
refused cut 451 || fail "cut off: $(cat "$tree/said")"
said=$(cat "$tree/said")
docker network connect --alias office365 "${name}_default" "$(container office365)"
until_true 60 "mail after the cut" in_app php /app/legacy.php restored 1
# Where all of it had been written, nobody can know, and the answer says so.
case $said in
    *"may have this mail"*) ;;
    *) [ "$(arrived | grep -c '^cut-1$')" = 0 ] || fail "refused, and yet arrived: $said" ;;
esac
ok "the network is cut: ${said:0:90}…; restored, and mail passes"

# docker stop in the middle of a burst of three clients.
for client in 1 2 3; do in_app php /app/legacy.php "burst$client" 5000 > "$tree/burst$client" 2>&1 & done
until_true 30 "a burst" eval "[ \$(cat '$tree'/burst? | grep -c ^taken) -ge 60 ]"
shim=$(container mailshim)
docker stop -t 30 "$shim" > /dev/null
wait $(jobs -p) 2> /dev/null || true
[ "$(docker inspect -f '{{.State.ExitCode}}' "$shim")" = 0 ] || fail "mailshim ended with $(docker inspect -f '{{.State.ExitCode}}' "$shim")"
sed -n 's/^taken //p' "$tree"/burst? | sort > "$tree/taken"
all_arrived() {
    arrived | grep '^burst' | sort > "$tree/arrived"
    [ -z "$(comm -23 "$tree/taken" "$tree/arrived")" ]
}
# The simulator prints every 50 ms.
until_true 5 "what was acknowledged, at Office 365: $(wc -l < "$tree/taken") mails" all_arrived
grep -q '^refused' "$tree"/burst1 || fail "the burst had ended before: $(tail -3 "$tree/burst1")"
ok "docker stop in a burst: $(wc -l < "$tree/taken") mails acknowledged, $(wc -l < "$tree/arrived") arrived, none lost"

# The app lives on in the old namespace; the new one is mailshim's alone.
docker start "$shim" > /dev/null
until_true 30 "health" healthy "$shim"
refused stranded '' || fail "docs/compose.md says that the app is stranded: $(cat "$tree/said")"
docker restart -t 5 "$(container app)" > /dev/null
sends joined-again
ok "app.yaml: mailshim is restarted, the app is stranded until it is restarted, as docs/compose.md says"
down

part "compose: namespace.yaml"
project namespace namespace simulated holder
up
sends written
docker restart -t 5 "$(container app)" > /dev/null
sends app-restarted
docker restart -t 30 "$(container mailshim)" > /dev/null
until_true 30 "health" healthy "$(container mailshim)"
sends shim-restarted
# A crash: the engine starts it again by itself.
kill -KILL "$(docker inspect -f '{{.State.Pid}}' "$(container mailshim)")"
until_true 30 "mail after a crash" in_app php /app/legacy.php crashed 1
before=$(container mailshim)
compose up -d --force-recreate --no-deps mailshim > "$tree/log" 2>&1 || fail "$(cat "$tree/log")"
[ "$(container mailshim)" != "$before" ] || fail "not recreated"
until_true 30 "health" healthy "$(container mailshim)"
sends recreated
ok "namespace.yaml: the app restarted, mailshim restarted, crashed, recreated: the app goes on sending"
down

part "compose: staging.yaml"
project staging app staging simulated
up
in_app php /app/legacy.php guarded 1 customer@example.com > "$tree/said" || fail "$(cat "$tree/said")"
until_true 5 "the redirected mail" eval "arrived | has -x guarded-1"
docker logs "$(container office365)" 2>&1 | grep ' guarded-1' > "$tree/said"
grep -q 'RCPT TO:<staging@contoso.com> ' "$tree/said" && ! grep -q 'customer@example.com' "$tree/said" || fail "redirected: $(cat "$tree/said")"
ok "staging.yaml: the mail for a customer goes to the one mailbox"
down
