import { InvalidArgumentError, type Command } from 'commander';
import { parseDuration } from '@sever/protocol';
import type { CliIo } from '../cli-io';
import { EXIT } from '../exit-code';
import { makeHaltKey, readHaltKey, readText, writeNew } from '../halt/key-file';
import { haltIn, postHalt, publishHalt, type HaltDelivery } from '../halt/send-halt';
import { signHalt } from '../halt/sign-halt';
import { terminalJson, terminalText } from '../output/terminal-text';
import { usageError } from '../usage-error';

const EXIT_CODES = `
Exit codes: 0 all accepted (or published) · 1 some refused or were not reached · 2 usage, nothing was sent
`;

export function addHaltCommand(program: Command, io: CliIo): void {
  const halt = program
    .command('halt')
    .summary('cut agents without any control plane: orders signed by a key of your own')
    .description(
      'Kill orders for the day on which no control plane is left. An admin registers the public half of a halt key ' +
        '(POST /v1/halt-keys); enforcement points then obey what its private half has signed, even a year later. ' +
        'Every use is alarmed, and becomes a kill in the records once the control plane is back.',
    );
  const json = (): boolean => program.opts<{ json?: boolean }>().json ?? false;
  const print = (document: unknown, human: string): void =>
    void io.stdout.write(`${json() ? terminalJson(document, 2) : human}\n`);
  addKeygen(halt, print);
  addSign(halt, io, print);
  addSend(halt, io, print);
}

type Print = (document: unknown, human: string) => void;

function addKeygen(halt: Command, print: Print): void {
  halt
    .command('keygen')
    .description('make a halt key: its private half goes to the file, the public one is printed')
    .requiredOption('--out <file>', 'where the private half goes, mode 0600; must not exist')
    .action(async ({ out }: { out: string }) => {
      const publicKey = await makeHaltKey(out);
      const body = JSON.stringify({ name: 'halt key', public_key: publicKey });
      print(
        publicKey,
        `wrote ${terminalText(out)}; keep it offline\nregister its public half:\n` +
          `  curl --json '${body}' -H "Authorization: Bearer $SEVER_KEY" "$SEVER_URL/v1/halt-keys"`,
      );
    });
}

interface SignOptions {
  readonly tenant: string;
  readonly reason: string;
  readonly valid: number;
  readonly out: string;
}

function addSign(halt: Command, io: CliIo, print: Print): void {
  halt
    .command('sign')
    .description('sign a halt, for now or to lie in a safe; nothing is sent')
    .argument('<target...>', 'agt_…, crd_…, tsk_…, ini_…, ten_… or kind:id')
    // The program has a --key of its own, for every command, and is the one that reads it.
    .option('--key <file>', 'the private half of a halt key')
    .requiredOption('--tenant <id>', 'ten_…')
    .requiredOption('--reason <text>', 'why; kept in the record')
    .option('--valid <time>', 'how long it can be used: 24h, 365d', durationOf, 86_400_000)
    .requiredOption('--out <file>', 'where the halt goes; must not exist')
    .action(async (targets: string[], options: SignOptions, command: Command) => {
      const { tenant, reason, valid: validMs, out } = options;
      const { key: keyFile } = command.optsWithGlobals<{ key?: string }>();
      if (keyFile === undefined) throw usageError('--key must name the file of a halt key');
      const key = await readHaltKey(keyFile);
      const asked = { tenant, targets, reason, validMs, now: io.now() };
      const signed = await signHalt(key, asked);
      await writeNew(out, `${signed.jws}\n`);
      const { kill_id: id, subjects, not_after: notAfter } = signed.halt;
      print(
        { ...signed.halt, kid: key.kid, file: out },
        terminalText(
          `wrote ${out}: ${id} stops ${subjects.join(', ')}; good until ${new Date(notAfter).toISOString()}`,
        ) + `\nuse it with: sever halt send ${terminalText(out)} --via http://SIDECAR:7410`,
      );
    });
}

interface SendOptions {
  readonly via?: string[];
  readonly nats?: string;
  readonly creds?: string;
}

function addSend(halt: Command, io: CliIo, print: Print): void {
  halt
    .command('send')
    .description('bring a halt to sidecars, or publish it for all that still hear the broker')
    .argument('<file>', 'as `sever halt sign` wrote it')
    .option('--via <url...>', 'sidecars, such as http://127.0.0.1:7410')
    .option('--nats <url>', 'broker; what is published there nobody confirms')
    .option('--creds <file>', "the control plane's credentials at the broker")
    .addHelpText('after', EXIT_CODES)
    .action(async (file: string, options: SendOptions) => {
      const order = haltIn(await readText(file), file);
      const urls = (options.via ?? []).map(checkedUrl);
      const { nats, creds } = options;
      if (urls.length === 0 && nats === undefined)
        throw usageError('say where it goes: --via SIDECAR_URL…, or --nats URL --creds FILE');
      if ((nats === undefined) !== (creds === undefined))
        throw usageError('--nats and --creds go together');
      const said = await Promise.all(urls.map((via) => postHalt(order.jws, via, io)));
      if (nats !== undefined && creds !== undefined)
        said.push(await published(order, nats, creds, io));
      print(
        { kill_id: order.halt.kill_id, sent: said },
        [
          ...said.map((one) => line(one)),
          `${order.halt.kill_id}: accepted by ${said.filter(({ accepted }) => accepted).length} of ${said.length}`,
        ].join('\n'),
      );
      io.setExitCode(said.every(({ accepted }) => accepted) ? EXIT.contained : EXIT.refused);
    });
}

async function published(
  order: ReturnType<typeof haltIn>,
  url: string,
  credsFile: string,
  io: CliIo,
): Promise<HaltDelivery> {
  try {
    await publishHalt(order, { url, credsFile }, io);
    return { via: url, accepted: true, said: 'published' };
  } catch (error) {
    if (io.publish === undefined) throw error;
    return { via: url, accepted: false, said: 'unreachable', detail: String(error) };
  }
}

function line({ via, said, detail }: HaltDelivery): string {
  return terminalText(`${via}  ${said}${detail === undefined ? '' : `: ${detail}`}`);
}

function checkedUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !['http:', 'https:'].includes(url.protocol))
    throw usageError(`--via must be an http or https URL, not ${JSON.stringify(text)}`);
  return text;
}

function durationOf(text: string): number {
  const ms = parseDuration(text);
  if (ms === null || ms === 0) throw new InvalidArgumentError('Give a time such as 24h or 365d.');
  return ms;
}
