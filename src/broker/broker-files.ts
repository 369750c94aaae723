import { existsSync, mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { createBrokerOperator, type Operator } from './operator';
import { replaceFile } from './whole-file';

export interface BrokerFiles {
  /** The server's configuration; everything in it is public. */
  configFile: string;
  operatorJwtFile: string;
  /** Credentials of the control plane: `SEVER_NATS_CREDS`. */
  credsFile: string;
  /** The seed that signs enforcement points' user JWTs: `SEVER_NATS_ACCOUNT_SEED_FILE`. */
  accountSeedFile: string;
  /** The seed that signs the account's claims, and credentials that may push them: for revoking users at the broker. */
  operatorSeedFile: string;
  systemCredsFile: string;
  /** Where the server keeps account claims that were pushed to it. */
  claimsDir: string;
}

export interface BrokerAddress {
  listenHost: string;
  port: number;
  /** Folder as the server sees it, when that differs from where the files are written (a container's mount). */
  serverDir?: string;
}

export function brokerFilesIn(dir: string): BrokerFiles {
  return {
    configFile: join(dir, 'nats.conf'),
    operatorJwtFile: join(dir, 'operator.jwt'),
    credsFile: join(dir, 'sever.creds'),
    accountSeedFile: join(dir, 'account.seed'),
    operatorSeedFile: join(dir, 'operator.seed'),
    systemCredsFile: join(dir, 'system.creds'),
    claimsDir: join(dir, 'claims'),
  };
}

/**
 * Writes what a broker and a control plane need to trust each other. A folder that holds it all already is left as it
 * is (`created: false`): new seeds would cut off every enforcement point.
 *
 * @throws Error if only some of the files are there.
 */
export async function writeBrokerFiles(
  dir: string,
  address: BrokerAddress,
): Promise<BrokerFiles & { created: boolean }> {
  const files = brokerFilesIn(resolve(dir));
  const { claimsDir, ...expected } = files;
  const present = Object.values(expected).map((file) => existsSync(file));
  if (present.every(Boolean)) return { ...files, created: false };
  if (present.some(Boolean)) throw incomplete(dir, Object.values(expected), present);

  const operator = await createBrokerOperator();
  mkdirSync(claimsDir, { recursive: true, mode: 0o700 });
  replaceFile(files.operatorJwtFile, `${operator.operatorJwt}\n`, 0o644);
  replaceFile(files.credsFile, operator.controlPlaneCreds, 0o600);
  replaceFile(files.accountSeedFile, `${operator.severAccount.seed}\n`, 0o600);
  replaceFile(files.operatorSeedFile, `${operator.operatorSeed}\n`, 0o600);
  replaceFile(files.systemCredsFile, operator.systemCreds, 0o600);
  const serverClaimsDir = address.serverDir ? `${address.serverDir}/claims` : claimsDir;
  replaceFile(files.configFile, renderConfig(operator, address, serverClaimsDir), 0o644);
  return { ...files, created: true };
}

/** Works on nats-server 2.9.10 and later. Keys and values are JSON, which this format contains. */
function renderConfig(operator: Operator, address: BrokerAddress, claimsDir: string): string {
  const { systemAccount, severAccount } = operator;
  const preload = {
    [systemAccount.publicKey]: systemAccount.jwt,
    [severAccount.publicKey]: severAccount.jwt,
  };
  return `# Written by \`sever broker init\`. Nothing in this file is secret; the *.seed and *.creds files beside it are.
# Run the broker:        nats-server -c nats.conf
# Run a control plane:   SEVER_NATS_URL=nats://<host>:${address.port}
#                        SEVER_NATS_CREDS=<this folder>/sever.creds
#                        SEVER_NATS_ACCOUNT_SEED_FILE=<this folder>/account.seed
# To revoke the users of killed and replaced enforcement points at the broker, also:
#                        SEVER_NATS_OPERATOR_SEED_FILE=<this folder>/operator.seed
#                        SEVER_NATS_SYSTEM_CREDS=<this folder>/system.creds

host: ${JSON.stringify(address.listenHost)}
port: ${address.port}

# Who may do what is decided by signed claims alone: no client gets in without a JWT that this operator stands behind.
operator: ${JSON.stringify(operator.operatorJwt)}
system_account: ${JSON.stringify(systemAccount.publicKey)}

# Keeps pushed account claims (revocations) over a restart.
resolver: {
  type: full
  dir: ${JSON.stringify(claimsDir)}
  allow_delete: false
  interval: "2m"
}
resolver_preload: {
${Object.entries(preload)
  .map(([key, jwt]) => `  ${key}: ${JSON.stringify(jwt)}`)
  .join('\n')}
}

# A client signs a challenge to get in. On a busy machine that takes longer than the server's own two seconds.
authorization: { timeout: 10 }

# A client that cannot take its messages is cut off rather than fed late: it will come back and catch up.
write_deadline: "2s"
`;
}

function incomplete(dir: string, files: string[], present: boolean[]): Error {
  const missing = files.filter((_, index) => !present[index]);
  return new Error(
    `${dir} holds only some of a broker's files (missing: ${missing.join(', ')}). Restore them, or name an empty ` +
      'folder to begin anew; new seeds would cut off every enforcement point that enrolled with the old ones.',
  );
}
