# The simulated Office 365, for examples/compose/demo.yaml and for trying mailshim without an account:
#
#   docker build -f docker/office365.Dockerfile -t office365 .
#
# BUILDER: as in docker/Dockerfile.
ARG BUILDER=rust:1.95-slim-bookworm

FROM ${BUILDER} AS build
WORKDIR /build
COPY . .
# Not for production: quickly built rather than small.
ENV CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
RUN target="$(rustc -vV | sed -n 's/^host: //p')" && \
    RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --locked --target "$target" --package office365 && \
    cp "target/$target/release/office365" /office365

FROM scratch
COPY --from=build /office365 /office365
# Made by this: the simulator writes its CA there.
WORKDIR /tmp
ENTRYPOINT ["/office365"]
