/** Reads a response as the server-sent events that came, and says how it ended. */
export class EventReader {
  private readonly decoder = new TextDecoder();
  /** Every byte so far, as text. */
  text = '';
  readonly end: Promise<'ended' | 'broken'>;

  constructor(response: Response) {
    this.end = this.read(response).then(
      () => 'ended',
      () => 'broken',
    );
  }

  /** The data of each whole event that carries any. */
  get events(): unknown[] {
    return this.text
      .split('\n\n')
      .slice(0, -1)
      .flatMap((event) => event.split('\n').filter((line) => line.startsWith('data: ')))
      .flatMap((line) => (line === 'data: ' ? [] : [JSON.parse(line.slice(6)) as unknown]));
  }

  private async read(response: Response): Promise<void> {
    for await (const chunk of response.body ?? []) {
      this.text += this.decoder.decode(chunk as Uint8Array, { stream: true });
    }
  }
}
