import { z } from 'zod';

const url = (...schemes: string[]) =>
  z
    .string()
    .refine((text) => schemes.some((scheme) => URL.canParse(text) && text.startsWith(scheme)), {
      message: `must be a URL that starts with ${schemes.join(' or ')}`,
    });
const port = z
  .string()
  .regex(/^\d{1,5}$/, 'must be a port from 0 to 65535 (0 picks one)')
  .transform(Number)
  .refine((value) => value <= 65_535, 'must be a port from 0 to 65535 (0 picks one)');
const flag = z.enum(['0', '1']).transform((text) => text === '1');

/** Every setting of the control plane. `docs/settings.md` lists the same names. */
const Environment = z.object({
  SEVER_ENV: z.enum(['production', 'test']).default('production'),
  SEVER_HOST: z.string().min(1).default('127.0.0.1'),
  SEVER_PORT: port.default(7400),
  SEVER_DATA_DIR: z.string().min(1).optional(),
  SEVER_DATABASE_URL: url('postgres://', 'postgresql://').optional(),
  SEVER_NATS_URL: url('nats://', 'tls://').optional(),
  /** What enforcement points are told to connect to, when it differs from SEVER_NATS_URL. Comma-separated. */
  SEVER_NATS_PUBLIC_URLS: z.string().min(1).optional(),
  SEVER_NATS_CREDS: z.string().min(1).optional(),
  SEVER_NATS_ACCOUNT_SEED_FILE: z.string().min(1).optional(),
  /** With both of these the users of killed and replaced enforcement points are revoked at an outside broker. */
  SEVER_NATS_OPERATOR_SEED_FILE: z.string().min(1).optional(),
  SEVER_NATS_SYSTEM_CREDS: z.string().min(1).optional(),
  SEVER_MASTER_KEY: z
    .string()
    .refine((text) => Buffer.from(text, 'base64url').length === 32, '32 bytes in base64url')
    .optional(),
  SEVER_BOOTSTRAP_KEY: z.string().min(32, 'at least 32 characters').max(256).optional(),
  /** `iss` of tokens; by default the URL that the control plane listens on. */
  SEVER_ISSUER: z.string().min(1).max(256).optional(),
  SEVER_SAMPLE: flag.default(true),
  SEVER_LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'silent']).default('warn'),
  SEVER_FAILPOINTS: z.string().default(''),
  /** How long records of calls are kept. */
  SEVER_CALLS_RETENTION: z
    .string()
    .regex(/^\d{1,3}d$/, 'must be a number of days, such as 30d')
    .transform((text) => Number.parseInt(text, 10))
    .refine((days) => days >= 1 && days <= 366, 'must be from 1d to 366d')
    .default(30),
  /** With less than this free beside the database, no more records of calls are taken. */
  SEVER_CALLS_MIN_FREE: z
    .string()
    .regex(/^\d{1,15}$/, 'must be a number of bytes')
    .transform(Number)
    .default(1_073_741_824),
  /** `off`, in tests alone: a database that has gone back is not noticed. */
  SEVER_CONTINUITY: z.enum(['on', 'off']).default('on'),
});

export interface Config {
  readonly env: 'production' | 'test';
  readonly host: string;
  readonly port: number;
  readonly dataDir: string | undefined;
  /** Absent: the embedded Postgres. */
  readonly databaseUrl: string | undefined;
  /** Absent: the embedded nats-server. */
  readonly nats: OutsideNats | undefined;
  readonly masterKey: string | undefined;
  readonly bootstrapKey: string | undefined;
  readonly issuer: string | undefined;
  readonly sample: boolean;
  readonly logLevel: string;
  readonly failpoints: string;
  readonly continuity: boolean;
  readonly calls: {
    /** Days. */
    readonly retention: number;
    /** Bytes. */
    readonly minFree: number;
  };
}

export interface OutsideNats {
  readonly url: string;
  readonly publicUrls: readonly string[];
  readonly credsFile: string;
  readonly accountSeedFile: string;
  /** Absent: nobody can be revoked at the broker. */
  readonly authority: { operatorSeedFile: string; systemCredsFile: string } | undefined;
}

/** A setting is missing or wrong: the start stops with this message and nothing else. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

/** Reads the environment once. @throws ConfigError that names each bad setting and what it takes. */
export function loadConfig(env: NodeJS.ProcessEnv): Config {
  const given = Object.fromEntries(
    Object.entries(env).filter(([name, value]) => name.startsWith('SEVER_') && value !== ''),
  );
  const parsed = Environment.safeParse(given);
  if (!parsed.success)
    throw new ConfigError(
      parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('\n'),
    );
  const settings = parsed.data;
  if (settings.SEVER_FAILPOINTS !== '' && settings.SEVER_ENV !== 'test')
    throw new ConfigError('SEVER_FAILPOINTS: refused unless SEVER_ENV=test');
  if (settings.SEVER_CONTINUITY === 'off' && settings.SEVER_ENV !== 'test')
    throw new ConfigError('SEVER_CONTINUITY: refused unless SEVER_ENV=test');
  const outside =
    settings.SEVER_DATABASE_URL !== undefined || settings.SEVER_NATS_URL !== undefined;
  if (outside && settings.SEVER_MASTER_KEY === undefined)
    throw new ConfigError(
      'SEVER_MASTER_KEY: required with outside stores, because it seals the signing keys. Make one with: openssl rand -base64 32 | tr "+/" "-_" | tr -d "="',
    );
  return {
    env: settings.SEVER_ENV,
    host: settings.SEVER_HOST,
    port: settings.SEVER_PORT,
    dataDir: settings.SEVER_DATA_DIR,
    databaseUrl: settings.SEVER_DATABASE_URL,
    nats: outsideNats(settings),
    masterKey: settings.SEVER_MASTER_KEY,
    bootstrapKey: settings.SEVER_BOOTSTRAP_KEY,
    issuer: settings.SEVER_ISSUER,
    sample: settings.SEVER_SAMPLE && !outside,
    logLevel: settings.SEVER_LOG_LEVEL,
    failpoints: settings.SEVER_FAILPOINTS,
    continuity: settings.SEVER_CONTINUITY === 'on',
    calls: {
      retention: settings.SEVER_CALLS_RETENTION,
      minFree: settings.SEVER_CALLS_MIN_FREE,
    },
  };
}

function outsideNats(settings: z.infer<typeof Environment>): OutsideNats | undefined {
  const { SEVER_NATS_URL, SEVER_NATS_CREDS, SEVER_NATS_ACCOUNT_SEED_FILE } = settings;
  if (SEVER_NATS_URL === undefined) return undefined;
  if (SEVER_NATS_CREDS === undefined || SEVER_NATS_ACCOUNT_SEED_FILE === undefined)
    throw new ConfigError(
      'SEVER_NATS_URL: needs SEVER_NATS_CREDS and SEVER_NATS_ACCOUNT_SEED_FILE beside it. Make both with: npx sever broker init DIR',
    );
  return {
    url: SEVER_NATS_URL,
    publicUrls: settings.SEVER_NATS_PUBLIC_URLS?.split(',') ?? [SEVER_NATS_URL],
    credsFile: SEVER_NATS_CREDS,
    accountSeedFile: SEVER_NATS_ACCOUNT_SEED_FILE,
    authority: authority(settings),
  };
}

function authority(settings: z.infer<typeof Environment>): OutsideNats['authority'] {
  const {
    SEVER_NATS_OPERATOR_SEED_FILE: operatorSeedFile,
    SEVER_NATS_SYSTEM_CREDS: systemCredsFile,
  } = settings;
  if (operatorSeedFile === undefined && systemCredsFile === undefined) return undefined;
  if (operatorSeedFile === undefined || systemCredsFile === undefined)
    throw new ConfigError(
      'SEVER_NATS_OPERATOR_SEED_FILE and SEVER_NATS_SYSTEM_CREDS: give both or none. They are operator.seed and system.creds of: npx sever broker init DIR',
    );
  return { operatorSeedFile, systemCredsFile };
}
