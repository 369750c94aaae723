import type { NatsConnection } from '@nats-io/transport-node';
import { allBroadcasts } from '@sever/protocol';
import { Client } from 'pg';
import { monotonicMs } from '../measure/monotonic';
import { connectBroker } from './broker-connection';
import type { Stage } from './stage';

const REMEMBERED = 2_000;
/** The channel on which the database tells of each append, at its COMMIT. */
const COMMITS = 'sever_stream';

/** Watches commits and publications from outside, on connections of this process. */
export class Observer {
  private readonly commits: number[] = [];
  private readonly messages: { readonly at: number; readonly text: string }[] = [];

  private constructor(
    private readonly listener: Client,
    private readonly connection: NatsConnection,
  ) {}

  static async start(stage: Stage): Promise<Observer> {
    const listener = new Client({ connectionString: stage.databaseUrl });
    await listener.connect();
    const observer = new Observer(listener, await connectBroker(stage.broker));
    listener.on('notification', () => keep(observer.commits, monotonicMs()));
    await listener.query(`LISTEN ${COMMITS}`);
    observer.connection.subscribe(allBroadcasts('stream'), {
      callback: (_, message) => {
        const at = monotonicMs();
        keep(observer.messages, { at, text: message.string() });
      },
    });
    await observer.connection.flush();
    return observer;
  }

  /** When the first commit after that moment was seen here. */
  commitAfter(moment: number): number | undefined {
    return this.commits.find((at) => at >= moment);
  }

  /** When the entry of that kill was seen here. */
  publicationOf(killId: string): number | undefined {
    return this.messages.find(({ text }) => killIds(text).includes(killId))?.at;
  }

  /** A message of the stream as it travels, for floors of the same size. */
  get sample(): string | undefined {
    return this.messages.at(-1)?.text;
  }

  get seen(): number {
    return this.messages.length;
  }

  async stop(): Promise<void> {
    await this.connection.close();
    await this.listener.end();
  }
}

function keep<T>(list: T[], value: T): void {
  list.push(value);
  if (list.length > REMEMBERED) list.shift();
}

function killIds(text: string): string[] {
  return text.split('\n').map((jws) => {
    const payload = Buffer.from(jws.split('.')[1] ?? '', 'base64url').toString('utf8');
    return (JSON.parse(payload) as { kill_id?: string }).kill_id ?? '';
  });
}
