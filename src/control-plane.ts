import 'reflect-metadata';
import { readFile } from 'node:fs/promises';
import type { Server } from 'node:http';
import { NestFactory } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { IoAdapter } from '@nestjs/platform-socket.io';
import { pino, type Logger } from 'pino';
import { Tenants } from './access/tenants';
import { AppModule, type Stores } from './app.module';
import { ConfigError, type Config } from './config/config';
import { KillPool } from './database/kill-pool';
import { defaultDataDir } from './embedded/data-dir';
import { readOrCreateSecret, readSecret } from './embedded/secrets';
import { startEmbedded, type Embedded } from './embedded/start-embedded';
import { serveDocuments } from './operations/documents';
import { createAdapter, prepareServer } from './operations/http-server';
import { Issuer } from './signing/issuer';
import { CannotOpenError } from './signing/sealer';
import { SigningKeys } from './signing/signing-keys';

const CLOSE_GRACE_MS = 2_000;
const CLOSE_LIMIT_MS = 15_000;

export interface ControlPlane {
  readonly url: string;
  /** The first key, if this process knows it: it is configured, or was made up here once. */
  readonly bootstrapKey: FirstKey | undefined;
  readonly app: NestFastifyApplication;
  /** Resolves with the reason when an embedded server ends by itself: the control plane cannot go on. */
  readonly died: Promise<string>;
  close(): Promise<void>;
}

export interface FirstKey {
  readonly value: string;
  /** It was made up at this start: nobody knows it yet. */
  readonly isNew: boolean;
}

/** Starts everything in its order, and stops what it started when a later step fails. */
export async function startControlPlane(
  config: Config,
  log = logger(config),
): Promise<ControlPlane> {
  const dataDir = config.dataDir ?? defaultDataDir();
  const embedded = await startStores(config, dataDir, log);
  try {
    const stores = await storesOf(config, dataDir, embedded);
    const app = await compose({ ...config, dataDir }, stores, log);
    const { url, bootstrapKey } = await open(app, config, dataDir).catch(async (error: unknown) => {
      await app.close();
      throw error;
    });
    return {
      url,
      bootstrapKey,
      app,
      died: embedded?.died ?? new Promise(() => undefined),
      close: async () => {
        await closeWithin(CLOSE_GRACE_MS, app, log);
        await embedded?.stop();
      },
    };
  } catch (error) {
    await embedded?.stop();
    throw error;
  }
}

/** Whoever waits is answered at once; a connection that stays open beyond that, idle or not, must not keep the process. */
async function closeWithin(ms: number, app: NestFastifyApplication, log: Logger): Promise<void> {
  const server: Server = app.getHttpServer();
  const cut = setTimeout(() => server.closeAllConnections(), ms);
  let limit: NodeJS.Timeout | undefined;
  const late = new Promise<'late'>((resolve) => {
    limit = setTimeout(() => resolve('late'), CLOSE_LIMIT_MS);
  });
  try {
    // Nothing that a replica holds is lost with it; a stop that waits for a lost connection is worse than one that is cut short.
    if ((await Promise.race([app.close(), late])) === 'late') {
      server.close();
      server.closeAllConnections();
      log.error('stopping took too long; what is still open ends with the process');
    }
  } finally {
    clearTimeout(cut);
    clearTimeout(limit);
  }
}

async function startStores(
  config: Config,
  dataDir: string,
  log: Logger,
): Promise<Embedded | undefined> {
  if (config.databaseUrl !== undefined && config.nats !== undefined) return undefined;
  return startEmbedded({
    dataDir,
    postgres: config.databaseUrl === undefined,
    nats: config.nats === undefined,
    log: (line) => log.info(line),
  });
}

async function storesOf(
  config: Config,
  dataDir: string,
  embedded: Embedded | undefined,
): Promise<Stores> {
  const databaseUrl = config.databaseUrl ?? embedded?.databaseUrl;
  const nats = config.nats ?? embedded?.nats;
  if (databaseUrl === undefined || nats === undefined)
    throw new ConfigError('no database or no broker: this is a fault of the boot');
  const masterKey = config.masterKey ?? (await readOrCreateSecret(dataDir, 'master.key')).value;
  return {
    databaseUrl,
    masterKey,
    dataDir,
    broker: {
      url: nats.url,
      publicUrls: config.nats?.publicUrls ?? [nats.url],
      credsFile: nats.credsFile,
      accountSeed: (await readFile(nats.accountSeedFile, 'utf8')).trim(),
      authority: nats.authority && {
        operatorSeed: await readFile(nats.authority.operatorSeedFile, 'utf8'),
        systemCreds: await readFile(nats.authority.systemCredsFile, 'utf8'),
      },
    },
  };
}

async function compose(
  config: Config,
  stores: Stores,
  log: Logger,
): Promise<NestFastifyApplication> {
  const app = await NestFactory.create<NestFastifyApplication>(
    AppModule.with(config, stores, log),
    createAdapter(),
    { logger: false, abortOnError: false, bodyParser: false },
  );
  app.useWebSocketAdapter(new IoAdapter(app));
  await prepareServer(app);
  serveDocuments(app);
  return app;
}

/** The tenant, its keys and its issuer stand before the first request is let in. */
async function open(
  app: NestFastifyApplication,
  config: Config,
  dataDir: string,
): Promise<{ url: string; bootstrapKey: FirstKey | undefined }> {
  const tenants = app.get(Tenants);
  const tenant = await tenants.ensureDefault();
  await openSigningKeys(app.get(SigningKeys), tenant.id);
  const bootstrapKey = await settleBootstrapKey(tenants, tenant.id, config, dataDir);
  await app.get(KillPool).rehearse();
  const known = config.issuer ?? tenant.issuer;
  if (known !== null) app.get(Issuer).settle(known);
  await app.listen(config.port, config.host);
  const { port } = app.getHttpServer().address() as { port: number };
  const url = `http://${config.host.includes(':') ? `[${config.host}]` : config.host}:${port}`;
  app.get(Issuer).settle(config.issuer ?? (await tenants.settleIssuer(tenant.id, url)));
  return { url, bootstrapKey };
}

/** Before anything is changed in the database: a wrong master key must leave a running deployment alone. */
async function openSigningKeys(keys: SigningKeys, tenant: string): Promise<void> {
  try {
    await Promise.all([keys.liveKey(tenant, 'token'), keys.liveKey(tenant, 'stream')]);
  } catch (error) {
    if (!(error instanceof CannotOpenError)) throw error;
    throw new ConfigError(
      'SEVER_MASTER_KEY: does not open the signing keys in this database; use the key that they were sealed with',
    );
  }
}

/**
 * A configured key becomes the first key. Without one, the key in the data dir is used if it is the first key; one is
 * made up only where there is none yet, so that a second replica never takes the key of the first away.
 */
async function settleBootstrapKey(
  tenants: Tenants,
  tenant: string,
  config: Config,
  dataDir: string,
): Promise<FirstKey | undefined> {
  if (config.bootstrapKey !== undefined) {
    await tenants.setBootstrapKey(tenant, config.bootstrapKey);
    return { value: config.bootstrapKey, isNew: false };
  }
  if (await tenants.hasBootstrapKey(tenant)) {
    const value = readSecret(dataDir, 'bootstrap.key');
    return value !== null && (await tenants.isBootstrapKey(tenant, value))
      ? { value, isNew: false }
      : undefined;
  }
  const { value, created } = await readOrCreateSecret(dataDir, 'bootstrap.key');
  await tenants.setBootstrapKey(tenant, value);
  return { value, isNew: created };
}

/** JSON lines on standard error. Of an error only what an operator needs: drivers hang whole connections on theirs. */
function logger(config: Config): Logger {
  return pino(
    {
      level: config.logLevel,
      base: { name: 'sever' },
      serializers: {
        err: (error: unknown) => {
          if (!(error instanceof Error)) return { message: String(error) };
          const { name, message, stack } = error;
          const { code } = error as { code?: unknown };
          return { name, message, code, stack };
        },
      },
    },
    pino.destination(2),
  );
}
