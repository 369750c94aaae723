import type { Command } from 'commander';
import { SeverClient } from './client/sever-client';
import type { CliIo } from './cli-io';
import { terminalJson, terminalText } from './output/terminal-text';
import { usageError } from './usage-error';

export interface GlobalOptions {
  readonly url?: string;
  readonly key?: string;
  readonly json?: boolean;
}

const DEFAULT_URL = 'http://127.0.0.1:7400';

/** One run of one command: where it talks to, and how it prints. */
export class Session {
  readonly client: SeverClient;
  readonly url: string;
  readonly key: string;
  readonly json: boolean;
  /** What a command line repeats to reach the same control plane. Never the key. */
  readonly placeWords: readonly string[];

  constructor(
    command: Command,
    readonly io: CliIo,
  ) {
    const options = command.optsWithGlobals<GlobalOptions>();
    this.url = checkedUrl(options.url ?? (io.env.SEVER_URL || DEFAULT_URL));
    this.key = checkedKey(options.key ?? io.env.SEVER_KEY ?? '');
    this.json = options.json ?? false;
    this.placeWords = options.url === undefined ? [] : ['--url', options.url];
    this.client = new SeverClient({ url: this.url, key: this.key, fetch: io.fetch, now: io.now });
  }

  /** The command's result: one JSON document, or text for people. */
  print(document: unknown, human: () => string): void {
    const text = this.json ? `${terminalJson(document, 2)}\n` : human();
    this.io.stdout.write(text.endsWith('\n') ? text : `${text}\n`);
  }

  /** Something about how it is going; never part of the result. */
  note(text: string): void {
    this.io.stderr.write(`sever: ${terminalText(text)}\n`);
  }
}

/** What a command does; resolves to its exit code. */
export type SessionAction = (session: Session, command: Command) => Promise<number>;

/** Runs an action in a session and records its exit code. */
export async function inSession(command: Command, io: CliIo, action: SessionAction): Promise<void> {
  io.setExitCode(await action(new Session(command, io), command));
}

function checkedUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !['http:', 'https:'].includes(url.protocol)) {
    throw usageError(`--url (or SEVER_URL) must be an http or https URL, e.g. ${DEFAULT_URL}`);
  }
  if (url.username !== '' || url.password !== '') {
    throw usageError(
      '--url (or SEVER_URL) must not hold a user or password; the key goes to SEVER_KEY',
    );
  }
  return text;
}

/** Checked here, because an error of the HTTP client about a bad header would repeat the key. */
function checkedKey(key: string): string {
  const trimmed = key.trim();
  if (trimmed === '') throw usageError('set SEVER_KEY (or --key) to an API key');
  if (!/^[\x21-\x7e]+$/.test(trimmed)) {
    throw usageError('SEVER_KEY (or --key) holds characters that no key has');
  }
  return trimmed;
}
