import type { Agent, Kill, LiveReceipt } from '@sever/protocol';
import { agentLine, killLine, noticeLine, receiptLine } from '../output/live-lines';
import { terminalJson } from '../output/terminal-text';
import type { Session } from '../session';

/** The last line of so many kills is remembered, so that an event that changes nothing visible prints nothing. */
const REMEMBERED_KILLS = 1_000;

/** What `sever watch` prints: text lines, or NDJSON `{"event", "at", …}`. */
export class LiveFeed {
  private held: (() => void)[] | null = null;
  private readonly lastLines = new Map<string, string>();

  constructor(private readonly session: Session) {}

  /** From now on events wait for {@link state} or {@link release}. */
  hold(): void {
    this.held ??= [];
  }

  /** Prints the present state, oldest kill first, then what was held. */
  state(kills: readonly Kill[]): void {
    if (this.session.json) this.emit('state', { kills }, '');
    else if (kills.length === 0) this.notice('state', 'no kills so far');
    else for (const kill of [...kills].reverse()) this.printKill(kill);
    this.release();
  }

  release(): void {
    const waiting = this.held ?? [];
    this.held = null;
    for (const print of waiting) print();
  }

  kill(kill: Kill): void {
    this.when(() => this.printKill(kill));
  }

  receipt(receipt: LiveReceipt): void {
    this.when(() => this.emit('receipt', { receipt }, receiptLine(this.session.io.now(), receipt)));
  }

  agent(agent: Agent): void {
    this.when(() => this.emit('agent', { agent }, agentLine(this.session.io.now(), agent)));
  }

  notice(event: string, detail: string): void {
    this.emit(event, { detail }, noticeLine(this.session.io.now(), `${event}: ${detail}`));
  }

  private printKill(kill: Kill): void {
    const line = killLine(this.session.io.now(), kill);
    const withoutTime = line.slice(line.indexOf(' '));
    if (!this.session.json && this.lastLines.get(kill.id) === withoutTime) return;
    this.lastLines.delete(kill.id);
    this.lastLines.set(kill.id, withoutTime);
    if (this.lastLines.size > REMEMBERED_KILLS) {
      const [oldest] = this.lastLines.keys();
      if (oldest !== undefined) this.lastLines.delete(oldest);
    }
    this.emit('kill', { kill }, line);
  }

  private when(print: () => void): void {
    if (this.held) this.held.push(print);
    else print();
  }

  private emit(event: string, content: object, line: string): void {
    const at = new Date(this.session.io.now()).toISOString();
    const text = this.session.json ? terminalJson({ event, at, ...content }) : line;
    this.session.io.stdout.write(`${text}\n`);
  }
}
