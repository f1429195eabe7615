# Sourced by docker/check: builds the images from the Dockerfiles, on a builder made of what the machine has, and looks
# at what is in them.

part "a builder and an app's base without a registry"
need mmdebstrap mmdebstrap
if [ "${KEEP_BASE:-}" = 1 ]; then base=mailshim-kept-base builder=mailshim-kept-builder kept=mailshim-kept=1; fi
if ! docker image inspect "$base" "$builder" > /dev/null 2>&1; then
    # One Debian for both: the compiler and libc's archives for the builder, PHP, msmtp and Python for the legacy app.
    mmdebstrap --quiet --variant=minbase --include=gcc,libc6-dev,php-cli,msmtp,python3 bookworm - |
        docker import --change "LABEL ${kept:-$label}" - "$base" > /dev/null
    # The toolchain that runs here, and the crates of the lock file.
    sysroot=$(rustc --print sysroot)
    host=$(rustc -vV | sed -n 's/^host: //p')
    mkdir -p "$tree/builder/toolchain/bin" "$tree/builder/toolchain/lib/rustlib"
    cp -L "$sysroot"/bin/{cargo,rustc} "$tree/builder/toolchain/bin"
    cp "$sysroot"/lib/*.so* "$tree/builder/toolchain/lib"
    cp -R "$sysroot/lib/rustlib/$host" "$tree/builder/toolchain/lib/rustlib"
    cargo vendor --quiet --locked --versioned-dirs "$tree/builder/vendor" > /dev/null
    cat > "$tree/builder/config.toml" << 'END'
[source.crates-io]
replace-with = "vendored"
[source.vendored]
directory = "/vendor"
[net]
offline = true
END
    printf 'FROM %s\nCOPY toolchain /usr/local\nCOPY vendor /vendor\nCOPY config.toml /root/.cargo/config.toml\n' "$base" \
        > "$tree/builder/Dockerfile"
    docker build --quiet --tag "$builder" "$tree/builder" > "$tree/log" 2>&1 || fail "the builder: $(cat "$tree/log")"
    rm -rf "$tree/builder"
fi

part "docker/Dockerfile"
# With no network: nothing but the lock file's crates can come in. What is built between inherits the builder's label or
# gets it here.
printf 'FROM %s\nLABEL %s\n' "$builder" "$label" | docker build --quiet --tag "$id-labelled" - > /dev/null 2>&1
build() { # TAG DOCKERFILE OPTION…
    local tag=$1 file=$2
    shift 2
    docker build --network none --label "$label" --file "$file" --build-arg BUILDER="$id-labelled" --tag "$tag" "$@" . \
        > "$tree/log" 2>&1 || fail "$file: $(tail -50 "$tree/log")"
}
# The names in all layers, whichever way the engine saves them.
content() {
    local layer
    mkdir "$tree/saved"
    docker save "$1" | tar -x -C "$tree/saved"
    for layer in $(python3 -c 'import json, sys; print(*json.load(sys.stdin)[0]["Layers"])' < "$tree/saved/manifest.json"); do
        tar -tf "$tree/saved/$layer"
    done
}
# binary IMAGE FILE
binary() {
    local container
    container=$(docker create --label "$label" "$1")
    docker cp "$container:/mailshim" "$2" > /dev/null 2>&1
    docker rm "$container" > /dev/null
}
build "$mailshim" docker/Dockerfile --build-arg VERSION=0.1.0
binary "$mailshim" "$tree/mailshim"

held=$(content "$mailshim" | sort | tr '\n' ' ')
[ "$held" = 'mailshim var/ var/spool/ var/spool/mailshim/ ' ] || fail "the image holds $held"
ok "the image is /mailshim, an empty directory for a spool's volume, and nothing else"

[ "$(stat -c %a "$tree/mailshim")" = 511 ] || fail "the binary has mode $(stat -c %a "$tree/mailshim")"
ok "the binary can be run by everybody and read by root alone"

docker/sbom --binary "$tree/mailshim" > "$tree/mailshim.cdx.json" || fail "the list of what is in the binary"
ok "the binary holds the crates of the SBOM and no other, $(python3 -c 'import json, sys; print(len(json.load(sys.stdin)["components"]))' < "$tree/mailshim.cdx.json") of them; deny.toml lets each in"

size=$(docker image inspect -f '{{.Size}}' "$mailshim")
# The figure to reach is 6,000,000 (docs/performance.md): this holds what there is until it is reached again.
[ "$size" -le 6900000 ] || fail "the image has $size octets"
ok "the image has $size octets"

need file file
file --brief "$tree/mailshim" | has -E 'statically linked|static-pie linked' || fail "$(file "$tree/mailshim")"
! grep -aq '/root/\|/build/src' "$tree/mailshim" || fail "paths of the builder are in the binary"
ok "the binary is static, and holds no path of who built it"

config=$(docker image inspect -f '{{.Config.User}} {{.Config.Entrypoint}} {{.Config.Cmd}} {{.Config.StopSignal}} {{.Config.Healthcheck.Test}} {{.Config.Volumes}} {{.Config.ExposedPorts}}' "$mailshim")
[ "$config" = '65532:65532 [/mailshim] [] SIGTERM [CMD /mailshim healthcheck] map[] map[]' ] || fail "configuration: $config"
for field in title description version licenses; do
    [ -n "$(docker image inspect -f "{{index .Config.Labels \"org.opencontainers.image.$field\"}}" "$mailshim")" ] || fail "no label $field"
done
ok "numeric user, entry point, health check, labels; no volume, no port"

if [ -n "${DOCKER_CHECK_LONG:-}" ]; then
    build "$mailshim-again" docker/Dockerfile --no-cache --build-arg VERSION=0.1.0
    binary "$mailshim-again" "$tree/again"
    cmp "$tree/mailshim" "$tree/again" || fail "two builds, two binaries"
    ok "built again from nothing: the same binary, sha256 $(sha256sum < "$tree/again" | cut -c1-16)…"
else
    echo "SKIPPED: the second build, which takes minutes (DOCKER_CHECK_LONG=1)"
fi
build "$office365" docker/office365.Dockerfile

# The legacy app: what it knows is localhost, port 25.
mkdir "$tree/app"
cp docker/parts/legacy.php "$tree/app"
printf 'FROM %s\nLABEL %s\nCOPY legacy.php /app/legacy.php\nUSER 1000:1000\nENTRYPOINT ["/usr/bin/env"]\nCMD ["sleep","infinity"]\n' "$base" "$label" > "$tree/app/Dockerfile"
docker build --quiet --tag "$app" "$tree/app" > /dev/null 2>&1
