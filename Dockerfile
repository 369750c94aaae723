# The control plane, and from the same image the sidecar and the other commands of `sever`.
FROM node:24-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
COPY packages/protocol/package.json packages/protocol/
COPY packages/enforcement/package.json packages/enforcement/
COPY packages/sidecar/package.json packages/sidecar/
COPY packages/nestjs/package.json packages/nestjs/
COPY packages/mcp/package.json packages/mcp/
COPY packages/cli/package.json packages/cli/
RUN npm ci --ignore-scripts
COPY .swcrc nest-cli.json tsconfig.base.json ./
COPY scripts scripts
COPY packages packages
COPY src src
RUN node scripts/build.mjs
# The image talks to a Postgres and a broker of their own: no embedded binaries, no tools of development.
RUN npm prune --omit=dev --omit=optional --ignore-scripts

FROM node:24-slim
ENV NODE_ENV=production SEVER_HOST=0.0.0.0 SEVER_DATA_DIR=/var/lib/sever
WORKDIR /app
# Volumes mounted here take over their owner, so that they can be written to without root.
RUN mkdir -p /var/lib/sever /broker && chown node:node /var/lib/sever /broker
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/packages packages
COPY --from=build /app/dist dist
COPY bin bin
USER node
EXPOSE 7400
CMD ["node", "dist/main.js"]
