import { randomBytes } from 'node:crypto';
import { loadConfig } from '../../../src/config/config';
import { startControlPlane } from '../../../src/control-plane';
import { startTestControlPlane, type TestControlPlane } from '../../support/control-plane';
import { createRunFolder } from '../../support/run-folder';

describe('the first key of a deployment', () => {
  let plane: TestControlPlane;
  beforeAll(async () => {
    plane = await startTestControlPlane();
  });
  afterAll(() => plane.close());

  const another = (change: Record<string, string>) =>
    startControlPlane(
      loadConfig({
        ...plane.environment,
        SEVER_DATA_DIR: createRunFolder('test-replica'),
        ...change,
      }),
    );
  const works = async (key: string): Promise<boolean> =>
    (await plane.call('GET', '/v1/kills', { key })).status === 200;

  it('is left alone by a replica that is started without one', async () => {
    const replica = await another({ SEVER_BOOTSTRAP_KEY: '' });
    expect(replica.bootstrapKey).toBeUndefined();
    expect(await works(plane.key)).toBe(true);
    await replica.close();
  });

  it('is left alone by a start with another master key, which says what is wrong', async () => {
    await expect(
      another({ SEVER_BOOTSTRAP_KEY: '', SEVER_MASTER_KEY: randomBytes(32).toString('base64url') }),
    ).rejects.toThrow('SEVER_MASTER_KEY');
    expect(await works(plane.key)).toBe(true);
  });

  it('gives way to another that is configured, which then holds every role', async () => {
    const key = 'another-first-key-of-at-least-32-characters';
    const replica = await another({ SEVER_BOOTSTRAP_KEY: key });
    expect([await works(plane.key), await works(key)]).toEqual([false, true]);
    await replica.close();
    const back = await another({});
    expect([await works(plane.key), await works(key)]).toEqual([true, false]);
    await back.close();
  });
});
