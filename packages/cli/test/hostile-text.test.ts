import { newId } from '@sever/protocol';
import { agentBody, childOf, killBody, pageOf, receiptBody } from './support/fixtures';
import { runCli } from './support/run-cli';
import { refusal, ScriptedControlPlane } from './support/scripted-control-plane';
import { shortText, terminalJson, terminalText } from '../src/output/terminal-text';

/** Clears the screen, moves the cursor, starts a sequence in C1, hides and reverses text, rings, sets the title. */
const HOSTILE =
  '\x1b[2J\x1b[1;1H\u009b31m\r\n\x07\x1b]0;pwned\x07\u202eevil\u200b\u2066\u{e0041}\ud800';
// Whatever is printed may hold line breaks of the layout, and nothing else that a terminal obeys.
const OBEYED = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u;

let plane: ScriptedControlPlane;

beforeEach(async () => {
  plane = await ScriptedControlPlane.start();
});
afterEach(() => plane.close());

function expectHarmless(text: string): void {
  expect(text.replaceAll('\n', '')).not.toMatch(OBEYED);
}

it('terminalText shows what a terminal would obey, and leaves honest text as it is', () => {
  expect(terminalText('\x1b[2J\u009b\n\t\u202e')).toBe('\\x1b[2J\\x9b\\n\\t\\u{202e}');
  expect(terminalText('Zürich 東京 🚀 a\\b')).toBe('Zürich 東京 🚀 a\\b');
  expectHarmless(terminalText(HOSTILE));
});

it('shortText counts what is shown', () => {
  expect(shortText('abcdef', 4)).toBe('abc…');
  expect(shortText('abcd', 4)).toBe('abcd');
});

it('terminalJson is harmless, and still the same value', () => {
  const value = { name: HOSTILE, deep: [HOSTILE] };
  expectHarmless(terminalJson(value, 2));
  expect(JSON.parse(terminalJson(value, 2))).toEqual(value);
});

it.each([[[]], [['--json']]])(
  'no command lets a hostile name act on the terminal (%j)',
  async (flags) => {
    const root = agentBody({
      name: HOSTILE,
      initiator: { id: newId('initiator'), subject: HOSTILE, issuer: null },
    });
    const kill = killBody({
      reason: HOSTILE,
      ticket: HOSTILE,
      summary: HOSTILE,
      warnings: [HOSTILE],
      subject: { kind: HOSTILE, id: HOSTILE },
      subjects: [{ kind: HOSTILE, id: HOSTILE }],
      not_found: [{ kind: HOSTILE, id: HOSTILE }],
      created_by: { id: newId('apiKey'), name: HOSTILE, kind: HOSTILE },
    });
    kill.containment.not_covered.push({ what: HOSTILE, detail: HOSTILE });
    plane.serve('GET /v1/agents', pageOf(root));
    plane.serve(`GET /v1/agents/${root.id}/tree`, pageOf(root, childOf(root, { name: HOSTILE })));
    plane.on('POST /v1/kills', () => ({ status: 200, body: kill }));
    plane.serve('GET /v1/kills', pageOf(kill));
    plane.serve(`GET /v1/kills/${kill.id}`, kill);
    plane.serve(
      `GET /v1/kills/${kill.id}/receipts`,
      pageOf(
        receiptBody({
          enforcement_point: { id: newId('enforcementPoint'), name: HOSTILE, mode: 'strict' },
        }),
      ),
    );
    for (const argv of [
      ['find', 'x'],
      ['tree', root.id],
      ['kill', root.id, '--reason', HOSTILE],
      ['kills'],
      ['kills', kill.id],
    ]) {
      const { code, out, err } = await runCli(plane.url, [...argv, ...flags]);
      expect(code).toBe(0);
      expect(out).not.toBe('');
      expectHarmless(out + err);
    }
  },
);

it('escapes refusals and command lines that it repeats', async () => {
  plane.on('GET /v1/kills', () => refusal('forbidden', HOSTILE, { code: HOSTILE }));
  expectHarmless((await runCli(plane.url, ['kills'])).err);
  expectHarmless((await runCli(plane.url, ['kill', HOSTILE, '--reason', 'x'])).err);
  expectHarmless((await runCli(plane.url, [`--${HOSTILE}`])).err);
  plane.serve('GET /v1/agents', pageOf());
  expectHarmless((await runCli(plane.url, ['find', HOSTILE])).out);
});
