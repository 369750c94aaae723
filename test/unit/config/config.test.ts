import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ConfigError, loadConfig } from '../../../src/config/config';
import { Failpoints } from '../../../src/config/failpoints';
import { createRunFolder } from '../../support/run-folder';

const outside = {
  SEVER_DATABASE_URL: 'postgres://x@127.0.0.1/x',
  SEVER_MASTER_KEY: Buffer.alloc(32).toString('base64url'),
};

describe('settings', () => {
  it('need nothing at all', () => {
    expect(loadConfig({})).toMatchObject({
      host: '127.0.0.1',
      port: 7400,
      sample: true,
      env: 'production',
    });
  });

  it('take an empty variable as unset', () => {
    expect(loadConfig({ SEVER_PORT: '', SEVER_DATABASE_URL: '' })).toMatchObject({
      port: 7400,
      databaseUrl: undefined,
    });
  });

  it.each([
    [{ SEVER_DATABASE_URL: 'mysql://x' }, 'SEVER_DATABASE_URL'],
    [{ SEVER_BOOTSTRAP_KEY: 'short' }, 'SEVER_BOOTSTRAP_KEY'],
    [{ SEVER_MASTER_KEY: 'AAAA' }, 'SEVER_MASTER_KEY'],
    [{ SEVER_DATABASE_URL: outside.SEVER_DATABASE_URL }, 'SEVER_MASTER_KEY'],
    [{ ...outside, SEVER_NATS_URL: 'nats://127.0.0.1' }, 'sever broker init'],
    [{ SEVER_FAILPOINTS: 'kill.after_commit=exit' }, 'SEVER_ENV=test'],
    [{ SEVER_ENV: 'staging' }, 'SEVER_ENV'],
  ])('%j stops the start and names %s', (env, named) => {
    expect(() => loadConfig(env)).toThrow(ConfigError);
    expect(() => loadConfig(env)).toThrow(named);
  });

  it('never show the sample with outside stores', () => {
    expect(loadConfig(outside).sample).toBe(false);
  });
});

describe('the port', () => {
  it.each([
    ['0', 0],
    ['7401', 7401],
    ['65535', 65_535],
  ])('may be %j', (text, port) => {
    expect(loadConfig({ SEVER_PORT: text }).port).toBe(port);
  });

  it.each([' ', ' 80', '80 ', '0x50', '1e3', '-1', '1.5', '65536', '999999', 'http'])(
    'may not be %j, and the variable is named',
    (text) => {
      expect(() => loadConfig({ SEVER_PORT: text })).toThrow(ConfigError);
      expect(() => loadConfig({ SEVER_PORT: text })).toThrow(/^SEVER_PORT: must be a port/);
    },
  );
});

describe('failpoints', () => {
  it.each([
    'kill.after_commit',
    'kill.nowhere=exit',
    'kill.after_commit=explode',
    'kill.after_commit=sleep(x)',
  ])('refuse "%s", naming what there is', (spec) => {
    expect(() => new Failpoints(spec)).toThrow('kill.before_commit');
  });

  it('do what they say at their place, and nothing elsewhere', async () => {
    const failpoints = new Failpoints('spawn.after_commit=throw, kill.after_commit=sleep(30)');
    await expect(failpoints.hit('spawn.after_commit')).rejects.toThrow(
      'failpoint spawn.after_commit',
    );
    const startedAt = performance.now();
    await failpoints.hit('kill.before_commit');
    expect(performance.now() - startedAt).toBeLessThan(25);
    await failpoints.hit('kill.after_commit');
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(29);
  });

  it('can be armed in a file while they run, and note there what was hit', async () => {
    const file = join(createRunFolder('failpoints'), 'armed');
    writeFileSync(file, '');
    const failpoints = new Failpoints(`@${file}`);
    await failpoints.hit('kill.before_commit');
    writeFileSync(file, 'kill.before_commit=throw');
    await expect(failpoints.hit('kill.before_commit')).rejects.toThrow('failpoint');
    await failpoints.hit('kill.after_commit');
    expect(readFileSync(`${file}.hits`, 'utf8')).toBe('kill.before_commit\n');
  });
});
