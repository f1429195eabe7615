# Sourced by docker/check, after bundled.sh, whose simulator and network it uses: the least memory that Docker gives.

part "6 MB of memory"
tight=$(docker run -d --network "$network" "${locked_down[@]}" --memory 6m --memory-swap 6m -v "$volume:/simulated:ro" \
    -e MAILSHIM_MAILBOX=app@contoso.com -e MAILSHIM_TENANT_ID=contoso.com \
    -e MAILSHIM_CLIENT_ID=11111111-2222-3333-4444-555555555555 -e MAILSHIM_CLIENT_SECRET=simulated-secret \
    -e MAILSHIM_UPSTREAM=office365:1587 -e MAILSHIM_CA_FILE=/simulated/ca.pem -e AZURE_AUTHORITY_HOST=https://office365:1443 \
    -e MAILSHIM_MESSAGES_PER_MINUTE=0 -e MAILSHIM_LOG=warn "$mailshim")
until_true 30 "health in 6 MB; $(docker logs "$tight" 2>&1)" healthy "$tight"
docker run --rm -i --label "$label" --network "container:$tight" "$app" timeout 300 python3 - < docker/parts/storm.py \
    > "$tree/said" 2>&1 || fail "in 6 MB: $(tail -5 "$tree/said"); $(docker logs "$tight" 2>&1 | tail -5)"
# The kernel's own count, of this container's life: a probe that was killed beside us counts as well.
[ "$(docker inspect -f '{{.State.Running}} {{.State.OOMKilled}}' "$tight")" = 'true false' ] || fail "6 MB were not enough"
ok "in 6 MB of memory: $(cat "$tree/said")"
docker rm -f "$tight" > /dev/null
