import { EnrolmentRefusedError } from '@sever/enforcement';
import { ServedReport, type ServedReportParts } from '../src/served-report';
import type { Upstream } from '../src/sidecar-file';
import { ScriptedEnforcer } from './support/scripted-enforcer';

const quiet = { info: () => {}, warn: () => {}, error: () => {} };
const git: Upstream = {
  ...{ name: 'git', kind: 'mcp', url: 'http://127.0.0.1:9', mode: 'best_effort' },
  tools: [
    { match: 'push', effect: 'write' },
    { match: 'get_*', effect: 'read' },
  ],
};

describe('what a sidecar says that it serves', () => {
  let enforcer: ScriptedEnforcer;
  let upstreams: Upstream[];
  let tools: string[];
  let report: ServedReport;

  const start = (over: Partial<ServedReportParts> = {}): void => {
    const parts = { enforcer, logger: quiet, upstreams: () => upstreams, tools: () => tools };
    report = new ServedReport({ ...parts, everyMs: 1_000_000, ...over });
  };
  beforeEach(() => {
    enforcer = new ScriptedEnforcer();
    upstreams = [git, { name: 'billing', kind: 'http', url: 'http://127.0.0.1:9' }];
    tools = ['git/log', 'git/push'];
  });

  it('are its upstreams with their modes, and the tools that the config or a server names', async () => {
    start();
    await report.close();
    expect(enforcer.served).toEqual([
      {
        upstreams: [
          { name: 'git', kind: 'mcp', mode: 'best_effort' },
          { name: 'billing', kind: 'http', mode: 'strict' },
        ],
        tools: ['git/log', 'git/push'],
      },
    ]);
  });

  it('is said again when it has changed, and only then', async () => {
    start();
    await report.look();
    tools = [...tools, 'git/merge'];
    await report.look();
    upstreams = [git];
    await report.look();
    await report.close();
    expect(enforcer.served.map((one) => [one.upstreams.length, one.tools.length])).toEqual([
      [2, 2],
      [2, 3],
      [1, 3],
    ]);
  });

  it('is said again after a failure, and not again after a refusal', async () => {
    let answers: (Error | null)[] = [new Error('not reached'), null];
    let asked = 0;
    const serves = (): Promise<void> => {
      const failure = answers[asked++] ?? null;
      return failure === null ? Promise.resolve() : Promise.reject(failure);
    };
    start({ enforcer: { serves, state: () => enforcer.state() } });
    for (let look = 0; look < 3; look += 1) await report.look();
    await report.close();
    expect(asked).toBe(2);

    answers = [new EnrolmentRefusedError(404, 'not_found', 'an older control plane')];
    asked = 0;
    start({ enforcer: { serves, state: () => enforcer.state() } });
    for (let look = 0; look < 3; look += 1) await report.look();
    await report.close();
    expect(asked).toBe(1);
  });
});
