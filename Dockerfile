# The worker as an image: one bundle, no npm, no root, no writable files needed.
#
#   docker build -t losant-usage --build-arg VERSION=0.9.0 --build-arg REVISION=$(git rev-parse HEAD) .
#
# The base is pinned by tag. Pin it by digest as well unless you use your own registry:
#   --build-arg NODE_IMAGE=node:24.21.0-trixie-slim@sha256:…
ARG NODE_IMAGE=node:24.21.0-trixie-slim

FROM ${NODE_IMAGE} AS build
WORKDIR /app
COPY package.json package-lock.json ./
# No install script of a dependency runs: the bundler needs none, and Node is in the image.
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY rolldown.config.js tsconfig.json ./
COPY src ./src
COPY simulator ./simulator
RUN npm run build

FROM ${NODE_IMAGE}
ARG VERSION=unknown
ARG REVISION=unknown
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="losant-usage" \
      org.opencontainers.image.description="Copies Losant usage counters into Postgres, per organization and UTC day, for billing and BI" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"
# Nothing is installed at run time, and npm would not forward the signals that stop the worker.
RUN rm -rf /usr/local/lib/node_modules /usr/local/bin/npm /usr/local/bin/npx /usr/local/bin/corepack \
           /opt/yarn-* /usr/local/bin/yarn /usr/local/bin/yarnpkg
WORKDIR /app
COPY --from=build /app/dist ./dist
COPY bin ./bin
COPY migrations ./migrations
COPY package.json LICENSE ./
ENV NODE_ENV=production \
    HTTP_HOST=0.0.0.0
# A number, so that Kubernetes can tell that the user is not root.
USER 1000:1000
EXPOSE 9464
STOPSIGNAL SIGTERM
# Only Docker's own image format has health checks (podman build --format docker). Compose and Kubernetes have others.
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:' + (process.env.HTTP_PORT || 9464) + '/healthz', { signal: AbortSignal.timeout(3000) }).then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
# Node is the first process, so signals reach the program. The young generation gets 16 MiB explicitly, because a
# limit on the heap alone makes garbage collection several times slower.
ENTRYPOINT ["node", "--max-old-space-size=256", "--max-semi-space-size=16", "bin/losant-usage.js"]
CMD ["worker"]
