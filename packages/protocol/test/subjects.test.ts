import fc from 'fast-check';
import {
  allRequests,
  BROADCASTS,
  broadcastSubject,
  EP_REQUESTS,
  epPermissions,
  inboxPrefix,
  isOwnInbox,
  newId,
  requestSender,
  requestSubject,
} from '../src';

const TENANT = newId('tenant');
const EP = newId('enforcementPoint');
const token = fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/);

const HOSTILE = [
  '',
  '*',
  '>',
  'a.b',
  'a.*',
  'a.>',
  'a b',
  'a\tb',
  'a\r\nPUB x 0',
  'a\n',
  'a\0',
  '$SYS',
  'é',
  'a'.repeat(65),
];

/** The broker's own rule: does a subscription or permission match a subject? */
function matches(pattern: string, subject: string): boolean {
  const [p, s] = [pattern.split('.'), subject.split('.')];
  for (const [i, part] of p.entries()) {
    if (part === '>') return s.length > i;
    if (s[i] === undefined || (part !== '*' && part !== s[i])) return false;
  }
  return p.length === s.length;
}

describe('NATS subjects', () => {
  it('are what the protocol says', () => {
    expect(broadcastSubject('stream', 'ten_1')).toBe('sever.v1.stream.ten_1');
    expect(broadcastSubject('pulse', 'ten_1')).toBe('sever.v1.pulse.ten_1');
    expect(broadcastSubject('emergency', 'ten_1')).toBe('sever.v1.emergency.ten_1');
    expect(requestSubject('lease', 'ten_1', 'enf_1')).toBe('sever.v1.lease.ten_1.enf_1');
    expect(allRequests('receipt')).toBe('sever.v1.receipt.*.*');
    expect(inboxPrefix('ten_1', 'enf_1')).toBe('_R.ten_1.enf_1');
  });

  it.each(HOSTILE)('are never built from the token %j', (hostile) => {
    for (const kind of BROADCASTS)
      expect(() => broadcastSubject(kind, hostile)).toThrow(RangeError);
    for (const kind of EP_REQUESTS) {
      expect(() => requestSubject(kind, hostile, EP)).toThrow(RangeError);
      expect(() => requestSubject(kind, TENANT, hostile)).toThrow(RangeError);
    }
    expect(() => inboxPrefix(hostile, EP)).toThrow(RangeError);
    expect(() => inboxPrefix(TENANT, hostile)).toThrow(RangeError);
    expect(() => epPermissions(TENANT, hostile)).toThrow(RangeError);
  });

  it('have as many tokens as the protocol says, whatever text they are built from', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (tenant, ep) => {
        let subject: string;
        try {
          subject = requestSubject('lease', tenant, ep);
        } catch (error) {
          expect(error).toBeInstanceOf(RangeError);
          return;
        }
        expect(subject.split('.')).toEqual(['sever', 'v1', 'lease', tenant, ep]);
      }),
      { numRuns: 500 },
    );
  });

  it('name their sender', () => {
    fc.assert(
      fc.property(fc.constantFrom(...EP_REQUESTS), token, token, (kind, tenant, ep) => {
        const subject = requestSubject(kind, tenant, ep);
        expect(requestSender(subject)).toEqual({ tenant, ep });
        expect(matches(allRequests(kind), subject)).toBe(true);
      }),
    );
  });

  it.each([
    '',
    'sever.v1.lease.t',
    'sever.v1.lease.t.e.x',
    'sever.v1.lease..e',
    'sever.v1.lease.t.',
    'sever.v1.lease.*.*',
    'sever.v1.lease.t.>',
    'sever.v2.lease.t.e',
    'other.v1.lease.t.e',
    'sever.v1.stream.t.e',
    'sever.v1.lease.t.e f',
    'sever.v1.lease.t.e\n',
  ])('name no sender when they read %j', (subject) => {
    expect(requestSender(subject)).toBeNull();
  });
});

describe('what the broker permits one enforcement point', () => {
  const mine = epPermissions(TENANT, EP);

  it('is its own requests, its tenant’s broadcasts and its own inbox', () => {
    expect(mine).toEqual({
      publish: EP_REQUESTS.map((kind) => `sever.v1.${kind}.${TENANT}.${EP}`),
      subscribe: [
        `sever.v1.stream.${TENANT}`,
        `sever.v1.pulse.${TENANT}`,
        `sever.v1.emergency.${TENANT}`,
        `_R.${TENANT}.${EP}.>`,
      ],
    });
  });

  it('is never to publish what the control plane publishes, nor into any inbox', () => {
    const forbidden = [
      ...BROADCASTS.map((kind) => broadcastSubject(kind, TENANT)),
      `${inboxPrefix(TENANT, EP)}.x`,
      `_INBOX.x`,
      '$SYS.REQ.CLAIMS.UPDATE',
      '$JS.API.STREAM.LIST',
    ];
    for (const pattern of mine.publish)
      for (const subject of forbidden) expect(matches(pattern, subject)).toBe(false);
  });

  it('touches nothing of a neighbour or of another tenant', () => {
    fc.assert(
      fc.property(token, token, token, token, (tenant, ep, otherTenant, otherEp) => {
        fc.pre(ep !== otherEp || tenant !== otherTenant);
        const a = epPermissions(tenant, ep);
        const own = [...EP_REQUESTS.map((kind) => requestSubject(kind, otherTenant, otherEp))];
        for (const pattern of a.publish)
          for (const subject of own) expect(matches(pattern, subject)).toBe(false);
        const unheard = [`${inboxPrefix(otherTenant, otherEp)}.n`, ...own];
        if (tenant !== otherTenant)
          unheard.push(...BROADCASTS.map((kind) => broadcastSubject(kind, otherTenant)));
        for (const pattern of a.subscribe)
          for (const subject of unheard) expect(matches(pattern, subject)).toBe(false);
      }),
    );
  });

  it('holds no wildcard but the tail of its own inbox', () => {
    const patterns = [...mine.publish, ...mine.subscribe];
    expect(patterns.filter((pattern) => /[*>]/.test(pattern))).toEqual([`_R.${TENANT}.${EP}.>`]);
  });
});

describe('where a reply may go', () => {
  it('is the inbox of the enforcement point that asked', () => {
    expect(isOwnInbox(`_R.${TENANT}.${EP}.Xk3`, TENANT, EP)).toBe(true);
    expect(isOwnInbox(`_R.${TENANT}.${EP}.Xk3.7`, TENANT, EP)).toBe(true);
  });

  it.each([
    '',
    `_R.${TENANT}.${EP}`,
    `_R.${TENANT}.${EP}.`,
    `_R.${TENANT}.${EP}x.a`,
    `_R.${TENANT}.${EP}.>`,
    `_R.${TENANT}.${EP}.*`,
    `_R.${TENANT}.${EP}.a..b`,
    `_R.${TENANT}.${EP}.a b`,
    `_R.${TENANT}.${EP}.a\r\nPUB x 0`,
    `_R.${TENANT}.${newId('enforcementPoint')}.a`,
    `_R.${newId('tenant')}.${EP}.a`,
    `sever.v1.stream.${TENANT}`,
    '_INBOX.a',
  ])('is not %j', (reply) => {
    expect(isOwnInbox(reply, TENANT, EP)).toBe(false);
  });
});
