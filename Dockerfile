# ckv alone, in an empty image: `make image` builds it, docs/containers.md says how to run it.

FROM debian:bookworm-slim AS build
# The build sees to the rest itself (build/need-tools).
RUN apt-get update -q && apt-get install -q -y --no-install-recommends ca-certificates git make
WORKDIR /src
# First what changes seldom, so that an edit of the source does not install everything again.
COPY Makefile requirements-build.lock ./
COPY build/need-tools build/find-python build/
COPY .ci/find-python .ci/
RUN make build/.venv/.build
COPY . .
# Not `make build`: the dates of what was just copied would have it install everything once more.
RUN --mount=type=cache,target=/src/build/cache build/.venv/bin/python build/binary.py --folder-only && \
    folder="$(dirname "$(build/.venv/bin/python build/binary.py --where)")" && \
    build/.venv/bin/python build/root.py "$folder" /image

FROM scratch
ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.title="ckv" \
      org.opencontainers.image.description="A distributed key-value store: memory in front of MySQL." \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
COPY --from=build /image/ /
ENV PATH=/ckv
ENV LANG=C.UTF-8
# A number: Kubernetes cannot tell of a name that it is not root.
USER 65532:65532
WORKDIR /data
# deploy/ has primaries on the first and secondaries on the second one.
EXPOSE 8080 8081
# It asks the first one. A container with a network of its own can always have its node there (docs/containers.md).
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["/ckv/ckv", "ping", "127.0.0.1", "8080"]
ENTRYPOINT ["/ckv/ckv"]
CMD ["--help"]
