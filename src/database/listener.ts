import type { Logger } from 'pino';
import { Client } from 'pg';

const RECONNECT_MS = 250;

/**
 * Hears NOTIFY on a connection of its own and connects again when it is lost. A notification is only a hint to look:
 * nothing may depend on every one arriving.
 */
export class Listener {
  private client: Client | undefined;
  private timer: NodeJS.Timeout | undefined;
  private closed = false;

  constructor(
    private readonly databaseUrl: string,
    private readonly channel: string,
    private readonly heard: (payload: string) => void,
    private readonly log: Logger,
  ) {}

  async start(): Promise<void> {
    const client = new Client({
      connectionString: this.databaseUrl,
      application_name: 'sever-listen',
    });
    client.on('notification', (message) => this.heard(message.payload ?? ''));
    client.on('error', (error) => this.reconnect(error));
    client.on('end', () => this.reconnect());
    this.client = client;
    try {
      await client.connect();
      await client.query(`LISTEN ${client.escapeIdentifier(this.channel)}`);
    } catch (error) {
      this.reconnect(error);
    }
  }

  async close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.timer);
    await this.client?.end().catch(() => undefined);
  }

  private reconnect(error?: unknown): void {
    if (this.closed || this.timer !== undefined) return;
    if (error !== undefined) this.log.warn({ err: error }, 'listening connection lost');
    this.timer = setTimeout(() => {
      this.timer = undefined;
      void this.start();
    }, RECONNECT_MS);
  }
}
