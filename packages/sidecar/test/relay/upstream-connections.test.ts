import type { LookupAddress } from 'node:dns';
import { addressFault } from '../../src/relay/address-rules';
import { connectionsTo } from '../../src/relay/upstream-connections';
import type { Upstream } from '../../src/sidecar-file';
import { EchoUpstream } from '../support/echo-upstream';

describe('the address of an upstream', () => {
  const fault = (address: string, rules = {}): string | undefined =>
    addressFault(address, address.includes(':') ? 6 : 4, rules);

  it.each([
    '169.254.169.254',
    '169.254.0.1',
    'fe80::1',
    '::ffff:169.254.169.254',
    '::ffff:a9fe:a9fe',
    'fd00:ec2::254',
    '64:ff9b::a9fe:a9fe',
    '2002:a9fe:a9fe::1',
    '100.100.100.200',
  ])('%s, where metadata may be, is refused unless the config allows it', (address) => {
    expect(fault(address)).toMatch(/link-local or metadata/);
    expect(fault(address, { linkLocalAddresses: 'allow' })).toBeUndefined();
    expect(fault(address, { privateAddresses: 'allow' })).toBeDefined();
  });

  it.each([
    '127.0.0.1',
    '10.1.2.3',
    '172.16.0.1',
    '192.168.1.1',
    '::1',
    'fd12::1',
    '0.0.0.0',
    '::ffff:127.0.0.1',
  ])('%s is private: allowed unless the config refuses it', (address) => {
    expect(fault(address)).toBeUndefined();
    expect(fault(address, { privateAddresses: 'refuse' })).toMatch(/private_addresses: refuse/);
  });

  it.each(['93.184.216.34', '172.32.0.1', '2606:4700::1111'])('%s is public', (address) => {
    expect(fault(address, { privateAddresses: 'refuse' })).toBeUndefined();
  });
});

describe('connections to an upstream', () => {
  let upstream: EchoUpstream;
  beforeAll(async () => void (upstream = await EchoUpstream.start()));
  afterAll(() => upstream.close());
  beforeEach(() => void (upstream.seen.length = 0));

  async function get(
    rules: Partial<Upstream>,
    host: string,
    answers: LookupAddress[][] = [],
  ): Promise<number | string> {
    const dispatcher = connectionsTo({ name: 'api', kind: 'http', ...rules }, (_name, callback) => {
      callback(null, answers.shift() ?? []);
    });
    const origin = upstream.origin.replace('127.0.0.1', host);
    try {
      const { statusCode, body } = await dispatcher.request({ origin, path: '/', method: 'GET' });
      await body.dump();
      return statusCode;
    } catch (error) {
      return (error as Error).message;
    } finally {
      await dispatcher.destroy();
    }
  }
  const at = (address: string): LookupAddress => ({ address, family: 4 });

  it('go to the address that was looked at, whatever the name answers next', async () => {
    const answers = [[at('127.0.0.1')], [at('169.254.169.254')]];
    expect(await get({}, 'tools.example', answers)).toBe(200);
    expect(answers).toHaveLength(1);
    expect(upstream.seen[0]?.headers.host).toMatch(/^tools\.example:/);
  });

  it('are not made when any address of the name may not be reached', async () => {
    const mixed = [[at('127.0.0.1'), at('169.254.169.254')]];
    expect(await get({}, 'tools.example', mixed)).toMatch(/link-local or metadata/);
    const inside = [[at('127.0.0.1')]];
    expect(await get({ privateAddresses: 'refuse' }, 'tools.example', inside)).toMatch(/private/);
    expect(await get({}, 'tools.example', [[]])).toMatch(/no address/);
    expect(upstream.seen).toEqual([]);
  });

  it('look at an address that stands in the url too', async () => {
    expect(await get({}, '127.0.0.1')).toBe(200);
    expect(await get({ privateAddresses: 'refuse' }, '127.0.0.1')).toMatch(/private/);
    expect(await get({ privateAddresses: 'refuse' }, '[::1]')).toMatch(/private/);
    expect(await get({}, '169.254.169.254')).toMatch(/link-local/);
  });
});
