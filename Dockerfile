# The image of the three daemons: built on Debian 13, run as an unprivileged user.
FROM debian:13.2-slim AS build
WORKDIR /src
COPY . .
RUN apt-get update && scripts/setup build && scripts/build release freshet freshet_scorer_shared \
    && cmake --install build/release --prefix /opt/freshet --strip

FROM debian:13.2-slim
RUN apt-get update && apt-get install -y --no-install-recommends \
        librdkafka1 libavro23t64 libopenblas0-pthread libhiredis1.1.0 librocksdb9.10 libyaml-0-2 \
        libjansson4 libmicrohttpd12t64 libcurl4t64 libxxhash0 zlib1g curl \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --home-dir /var/lib/freshet --create-home freshet
COPY --from=build /opt/freshet/ /usr/local/
COPY schemas/ /usr/local/share/freshet/schemas/
USER freshet
WORKDIR /usr/local/share/freshet
VOLUME /var/lib/freshet
EXPOSE 9464
ENTRYPOINT ["freshet"]
CMD ["--help"]
