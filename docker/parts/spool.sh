# Sourced by docker/check, after compose.sh, whose words it uses: a spool in a named volume, and a pod imitated by
# containers that share a network and a volume as Kubernetes would give it.

# Held by nobody but the check: mail is queued while Office 365 cannot be reached.
readable spool.yaml
printf 'volumes: { spool: { %s } }\n' "$labels" > "$tree/spool-labels.yaml"

part "compose: namespace.yaml with spool.yaml"
project spool namespace spool simulated holder spool-labels
up
sends written
docker network disconnect "${name}_default" "$(container office365)"
in_app php /app/legacy.php queued 3 > "$tree/said" 2>&1 || fail "queued: $(cat "$tree/said")"
queue() { docker exec "$(container mailshim)" /mailshim queue "$@"; }
[ "$(queue list --json | wc -l)" = 3 ] || fail "queue list: $(queue list)"
# Root without a capability cannot become the spool's owner: it is told whom to be.
docker exec -u 0 "$(container mailshim)" /mailshim queue list > "$tree/said" 2>&1 && fail "queue list as root: $(cat "$tree/said")"
grep -q 'belongs to user 65532' "$tree/said" || fail "queue list as root: $(cat "$tree/said")"
# The container goes, its volume stays.
kill -KILL "$(docker inspect -f '{{.State.Pid}}' "$(container mailshim)")"
compose up -d --force-recreate --no-deps mailshim > "$tree/log" 2>&1 || fail "$(cat "$tree/log")"
until_true 30 "health" healthy "$(container mailshim)"
[ "$(queue list --json | wc -l)" = 3 ] || fail "lost with the container: $(queue list)"
docker network connect --alias office365 "${name}_default" "$(container office365)"
queue flush > "$tree/said" || fail "flush: $(cat "$tree/said")"
for number in 1 2 3; do until_true 30 "queued-$number" eval "arrived | has -x 'queued-$number'"; done
until_true 5 "an empty spool" eval '[ "$(queue list)" = "no mail" ]'
ok "spool.yaml: queued while cut off, killed and recreated, and all three arrive; queue list and flush in the container"
down

part "a pod with a claim, imitated"
volume_of_pod=$(docker volume create --label "$label" "$id-claim")
# What fsGroup leaves of a new volume.
docker run --rm --label "$label" -u 0 -v "$volume_of_pod:/claim" "$app" sh -c 'chown root:65532 /claim && chmod 2775 /claim'
pod=$(docker run -d --label "$label" --network none "$app" sleep 600)
pod_shim() {
    docker run -d --network "container:$pod" "${locked_down[@]}" -u 65532:65532 -v "$volume_of_pod:/var/spool/mailshim" "${settings[@]}" \
        -e MAILSHIM_SPOOL_DIR=/var/spool/mailshim "$mailshim"
}
first=$(pod_shim)
until_true 30 "health" healthy "$first"
docker run --rm --label "$label" --network "container:$pod" "$app" python3 -c "
import smtplib
print(smtplib.SMTP('localhost').sendmail('app@contoso.com', ['x@example.com'], 'Subject: kept'))" > "$tree/said" 2>&1 || fail "$(cat "$tree/said")"
docker run --rm --label "$label" -v "$volume_of_pod:/claim" "$app" stat -c '%a %u' /claim/mailshim | has -x '700 65532' || fail "the folder's owner and mode"
# The sidecar alone is killed and started again, as the kubelet would; the network is the pod's.
kill -KILL "$(docker inspect -f '{{.State.Pid}}' "$first")"
second=$(pod_shim)
until_true 30 "health" healthy "$second"
docker exec "$second" /mailshim queue list --json --from app@contoso.com | has '"id"' || fail "lost with the container"
docker exec "$second" /mailshim queue drop --yes --all | has -x '1 mail dropped' || fail "queue drop"
docker rm -f "$first" "$second" "$pod" > /dev/null
ok "a claim as root:65532 2775: mail is kept over a kill of the sidecar, listed and dropped there"
