# The image of respgres: docker build -t respgres .
#
# The first stage builds this tree from Debian's packages. The second holds what runs and nothing
# else: respgres and redis-cli with their libraries, busybox for people who look inside, and the
# certificates of public authorities. docs/deploy.md tells how it is used, tests/container/check
# builds it and uses it.
ARG BASE=debian:bookworm-slim

FROM ${BASE} AS build
COPY deps/packages-build /src/deps/
RUN apt-get update \
    && sed 's/#.*//' /src/deps/packages-build | xargs apt-get install -y --no-install-recommends \
        busybox-static ca-certificates redis-tools \
    && rm -rf /var/lib/apt/lists/*
COPY . /src
RUN cmake -S /src -B /build -G Ninja -DCMAKE_BUILD_TYPE=Release \
    && cmake --build /build --target respgres \
    && strip -o /usr/local/bin/respgres /build/respgres \
    && sh /src/conf/image/assemble /image

FROM scratch
LABEL org.opencontainers.image.title="respgres" \
      org.opencontainers.image.description="The Redis protocol in front of PostgreSQL: sessions that are rows" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /image /
# All interfaces, with protected-mode: without a password, clients of other hosts are refused.
ENV PATH=/usr/local/bin:/usr/bin:/bin \
    RESPGRES_CONF_BIND="* -::*" \
    RESPGRES_CONF_HTTP_PORT=9379 \
    RESPGRES_CONF_HTTP_BIND="* -::*"
# Whatever is written to disk goes to the working directory (option dir). Any user may write there:
# platforms choose one.
WORKDIR /data
VOLUME /data
USER 10001:10001
EXPOSE 6379 9379
# Whether the process lives. PostgreSQL's state is not its business: a restart would not help.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["respgres", "--healthcheck"]
ENTRYPOINT ["/usr/local/bin/entrypoint"]
CMD ["respgres"]
