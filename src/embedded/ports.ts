import { createServer, type AddressInfo } from 'node:net';

export const LOOPBACK = '127.0.0.1';

/** A port that is free now: the preferred one if it is, else any. */
export async function freePort(preferred?: number): Promise<number> {
  if (preferred !== undefined) {
    const kept = await tryListen(preferred);
    if (kept !== null) return kept;
  }
  const port = await tryListen(0);
  if (port === null) throw new Error(`no free port on ${LOOPBACK}`);
  return port;
}

async function tryListen(port: number): Promise<number | null> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(null));
    server.listen({ host: LOOPBACK, port, exclusive: true }, () => {
      const { port: got } = server.address() as AddressInfo;
      server.close(() => resolve(got));
    });
  });
}
