import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { join } from 'node:path';
import { freePort, ROOT } from '../../src/demo/processes';
import { startTestBroker, type TestBroker } from '../support/broker';
import { createTestDatabase, type TestDatabase } from '../support/cluster';
import { createRunFolder } from '../support/run-folder';
import { runScript } from '../support/run-script';

/** What an operator sees of a setting that is wrong: the process ends at once, and says which. */
describe('a control plane that cannot start', () => {
  let broker: TestBroker;
  let database: TestDatabase;
  let silent: Server;
  let folder: string;

  beforeAll(async () => {
    [broker, database] = await Promise.all([startTestBroker(), createTestDatabase()]);
    silent = createServer((socket) => void socket.resume().on('error', () => undefined));
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    folder = createRunFolder('e2e-refused');
  });
  afterAll(async () => {
    silent.close();
    await broker.stop();
    await database.drop();
  });

  const start = async (env: Record<string, string>) => {
    const began = performance.now();
    const result = await runScript(join(ROOT, 'dist', 'main.js'), [], {
      SEVER_PORT: '0',
      SEVER_DATA_DIR: join(folder, 'data'),
      SEVER_SAMPLE: '0',
      ...env,
    });
    return { ...result, lines: result.stderr.trim().split('\n'), ms: performance.now() - began };
  };
  const outside = (): Record<string, string> => ({
    SEVER_DATABASE_URL: database.url,
    SEVER_NATS_URL: broker.url,
    SEVER_NATS_CREDS: broker.credsFile,
    SEVER_NATS_ACCOUNT_SEED_FILE: broker.accountSeedFile,
    SEVER_MASTER_KEY: randomBytes(32).toString('base64url'),
  });

  it.each([
    ['at which nobody listens', () => freePort()],
    ['that says nothing', () => Promise.resolve((silent.address() as AddressInfo).port)],
  ])('for a broker %s says so within a few seconds', async (_what, port) => {
    const { code, lines, ms } = await start({
      ...outside(),
      SEVER_NATS_URL: `nats://127.0.0.1:${await port()}`,
    });
    expect(code).toBe(1);
    expect(lines).toEqual([
      expect.stringMatching(
        /^sever: No NATS server answers at nats:\S+ \(SEVER_NATS_URL\); start it/,
      ),
    ]);
    // Eight for the broker, the rest for a process that starts on a busy machine.
    expect(ms).toBeLessThan(20_000);
  });

  it('for a data dir that is a file names the setting', async () => {
    const file = join(folder, 'file');
    writeFileSync(file, '');
    const { code, lines } = await start({ SEVER_DATA_DIR: file });
    expect([code, lines]).toEqual([1, [expect.stringMatching(/^sever: SEVER_DATA_DIR: .*file/)]]);
  });

  it('for a port that is none names the setting', async () => {
    const { code, lines } = await start({ SEVER_PORT: ' ' });
    expect([code, lines]).toEqual([
      1,
      ['sever: bad setting', expect.stringMatching(/^SEVER_PORT: must be a port/)],
    ]);
  });
});
