import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parseAllDocuments } from 'yaml';
import { eventually } from '../../../../test/support/eventually';
import { parseSidecarFile } from '../../src/sidecar-file';
import { httpSidecar, type HttpSidecar } from '../support/http-sidecar';

const EXAMPLE = join(__dirname, '../../../../examples/model-provider');
const KEY = 'sk-of-the-provider';
const ANTHROPIC = '/anthropic/v1/messages';
const OPENAI = '/openai/v1/chat/completions';

describe('a model provider behind the sidecar', () => {
  let standIn: ChildProcess;
  let under: HttpSidecar;
  /** Headers of what reached the provider. */
  let seen: Record<string, string>[];

  beforeAll(async () => {
    seen = [];
    standIn = spawn(process.execPath, [join(EXAMPLE, 'stand-in.mjs')], {
      env: { STAND_IN_KEY: KEY, STAND_IN_REPEATS: '60' },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    if (standIn.stdout === null) throw new Error('the stand-in has no output');
    const lines = createInterface({ input: standIn.stdout });
    const [first] = (await once(lines, 'line')) as [string];
    lines.on('line', (line) => {
      seen.push((JSON.parse(line) as { headers: Record<string, string> }).headers);
    });
    const { url } = JSON.parse(first) as { url: string };
    const file = join(EXAMPLE, 'sidecar.yaml');
    const { upstreams = [] } = parseSidecarFile(readFileSync(file, 'utf8'), file, {
      ANTHROPIC_API_KEY: KEY,
      OPENAI_API_KEY: KEY,
    });
    under = await httpSidecar(upstreams.map((upstream) => ({ ...upstream, url })));
  });
  afterAll(async () => {
    await under.sidecar.close();
    standIn.kill();
  });

  const agent = (id: string, scopes = ['http:POST:anthropic/*', 'http:POST:openai/*']): string =>
    under.enforcer.agent(id, scopes);

  function asks(path: string, headers: Record<string, string>): Promise<Response> {
    return fetch(`${under.url}${path}`, {
      method: 'POST',
      headers: { ...headers, 'content-type': 'application/json' },
      body: JSON.stringify({ stream: true, messages: [{ role: 'user', content: 'Hello?' }] }),
    });
  }

  async function listen(response: Response, onText: (text: string) => void): Promise<string> {
    let all = '';
    for await (const chunk of response.body ?? []) {
      all += Buffer.from(chunk as Uint8Array).toString();
      onText(all);
    }
    return all;
  }

  const asApiKey = (id: string) => ({ 'x-api-key': agent(id), 'anthropic-version': '2023-06-01' });
  const asBearer = (id: string) => ({ authorization: `Bearer ${agent(id)}` });

  it.each([
    ['Anthropic, by API key', ANTHROPIC, asApiKey, 'message_stop'],
    ['Anthropic, by bearer token', ANTHROPIC, asBearer, 'message_stop'],
    ['OpenAI', OPENAI, asBearer, '[DONE]'],
  ])('%s: a kill in the midst of an answer takes it, a neighbour’s goes on', async (...given) => {
    const [, path, headersOf, last] = given;
    const from = seen.length;
    const [doomedId, neighbourId] = [`doomed-${from}`, `neighbour-${from}`];
    const doomed = await asks(path, headersOf(doomedId));
    const neighbour = await asks(path, headersOf(neighbourId));
    expect([doomed.status, neighbour.status]).toEqual([200, 200]);
    let heard = '';
    const cut = listen(doomed, (text) => (heard = text));
    const whole = listen(neighbour, () => undefined);
    await eventually(() => expect(heard).toContain('Hello again.'));
    under.enforcer.kill(doomedId, 'kil_7');

    const ended = await cut;
    const [event = '', data = ''] = ended.trimEnd().split('\n').slice(-2);
    expect(event).toBe('event: error');
    expect(JSON.parse(data.slice('data: '.length))).toMatchObject({
      code: 'agent_revoked',
      kill_id: 'kil_7',
      error: { type: 'permission_error', message: 'The agent was revoked' },
    });
    expect(ended).not.toContain(last);
    expect(await whole).toContain(last);

    const again = await asks(path, headersOf(doomedId));
    expect(again.status).toBe(403);
    expect(await again.json()).toMatchObject({ error: { type: 'permission_error' } });
    await eventually(() => expect(seen).toHaveLength(from + 2));
    for (const headers of seen.slice(from)) {
      expect([headers['x-api-key'] ?? headers['authorization']]).toEqual([
        path === ANTHROPIC ? KEY : `Bearer ${KEY}`,
      ]);
      expect(JSON.stringify(headers)).not.toContain('token-of');
    }
  });

  it('is asked only on paths that the token’s scopes cover', async () => {
    const from = seen.length;
    const token = agent('narrow', ['http:POST:anthropic/v1/messages']);
    const response = await asks(OPENAI, { authorization: `Bearer ${token}` });
    expect(response.status).toBe(403);
    expect(await response.json()).toMatchObject({ code: 'insufficient_scope' });
    expect(seen).toHaveLength(from);
  });

  it('stays out of reach of an agent but through the sidecar, where the example’s policy holds', () => {
    const text = readFileSync(join(EXAMPLE, 'kubernetes.yaml'), 'utf8');
    const objects = parseAllDocuments(text).map(
      (document) => document.toJS() as { kind: string; spec: Record<string, unknown> },
    );
    const policy = objects.find(({ kind, spec }) => {
      const selector = JSON.stringify(spec['podSelector']);
      return kind === 'NetworkPolicy' && selector.includes('"agent"');
    });
    expect(policy?.spec['policyTypes']).toContain('Egress');
    const egress = policy?.spec['egress'] as { to: unknown[]; ports: { port: number }[] }[];
    expect(egress.map(({ ports }) => ports.map(({ port }) => port))).toEqual([[7410], [53, 53]]);
    // A rule without `to` would be a way to everywhere.
    expect(egress.every(({ to }) => to.length === 1)).toBe(true);
  });
});
