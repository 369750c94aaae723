import type { EnforcementPoint } from '@sever/enforcement';
import { MAX_SERVED_TOOLS, type EnforcementPointList, type Kill } from '@sever/protocol';
import type { z } from 'zod';
import { startTestControlPlane, type TestControlPlane } from '../../support/control-plane';
import { connectPoint } from '../../support/enforcement-point';

const SERVES = {
  upstreams: [{ name: 'github', kind: 'mcp', mode: 'strict' as const }],
  tools: ['github/create_issue', 'github/get_file'],
};

describe('what enforcement points say that they serve', () => {
  let plane: TestControlPlane;
  let point: EnforcementPoint;

  beforeAll(async () => {
    plane = await startTestControlPlane();
    point = await connectPoint(plane, 'edge');
    await connectPoint(plane, 'silent').then((other) => other.close());
    await point.serves(SERVES);
  });
  afterAll(async () => {
    await point.close();
    await plane.close();
  });

  it('is shown with them, and nothing for one that has not said it', async () => {
    const { body } = await plane.call('GET', '/v1/enforcement-points');
    const { items } = body as z.infer<typeof EnforcementPointList>;
    expect(Object.fromEntries(items.map(({ name, serves }) => [name, serves]))).toEqual({
      edge: SERVES,
      silent: null,
    });
  });

  it.each([
    ['tool', 'github/create_isue', 'github/create_issue'],
    ['upstream', 'githb', 'github'],
  ])('offers a name that is close to a mistyped %s', async (kind, id, near) => {
    const { body } = await plane.call('POST', '/v1/kills?wait=0', {
      body: { subject: { kind, id }, action: 'suspend', reason: 'a slip of the hand' },
    });
    const kill = body as unknown as Kill;
    expect(kill).toMatchObject({ matched: 0 });
    expect(kill.nearest).toContain(near);
  });

  it('is refused when it is too much, and stands as it was', async () => {
    const tools = Array.from({ length: MAX_SERVED_TOOLS + 1 }, (_, at) => `github/${at}`);
    await expect(point.serves({ ...SERVES, tools })).rejects.toMatchObject({ status: 400 });
    const { body } = await plane.call('GET', '/v1/enforcement-points');
    const { items } = body as z.infer<typeof EnforcementPointList>;
    expect(items.find(({ name }) => name === 'edge')?.serves).toEqual(SERVES);
  });
});
