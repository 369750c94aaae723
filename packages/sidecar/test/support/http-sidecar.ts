import { once } from 'node:events';
import {
  request,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type OutgoingHttpHeaders,
} from 'node:http';
import { text } from 'node:stream/consumers';
import { Sidecar, type SidecarParts } from '../../src/sidecar';
import type { Upstream } from '../../src/sidecar-file';
import { ScriptedEnforcer } from './scripted-enforcer';

export interface HttpSidecar {
  readonly sidecar: Sidecar;
  readonly enforcer: ScriptedEnforcer;
  readonly url: string;
  readonly logged: object[];
}

/** A real sidecar before upstreams of kind `http`, each with what else its config says. */
export async function httpSidecar(
  upstreams: readonly (Partial<Upstream> & { name: string; url: string })[],
  parts: Partial<SidecarParts> = {},
): Promise<HttpSidecar> {
  const enforcer = new ScriptedEnforcer();
  const logged: object[] = [];
  const log = (fields: object, message: string): void => void logged.push({ ...fields, message });
  const sidecar = await Sidecar.listen(
    {
      host: '127.0.0.1',
      port: 0,
      upstreams: upstreams.map((upstream) => ({ ...upstream, kind: 'http' })),
    },
    { enforcer, logger: { info: log, warn: log, error: log }, drainMs: 100, ...parts },
  );
  return { sidecar, enforcer, url: sidecar.url, logged };
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** One request whose path goes out byte for byte, which `fetch` would put in order first. */
export async function ask(
  base: string,
  path: string,
  options: { method?: string; headers?: OutgoingHttpHeaders; body?: string | Buffer } = {},
): Promise<Answer> {
  const { hostname, port } = new URL(base);
  const { method = 'GET', headers = {}, body } = options;
  const sent = request({ hostname, port, path, method, headers, agent: false });
  sent.end(body);
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    body: await text(response),
  };
}

export function bearer(token: string): { authorization: string } {
  return { authorization: `Bearer ${token}` };
}
