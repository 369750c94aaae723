import type { Upstream } from './upstream';
import type { WrittenUpstream } from './upstream-schema';

/** An upstream as the sidecar reads it, from what the file says; a key that is not written is not there. */
export function upstreamOf(written: WrittenUpstream): Upstream {
  const { name, kind, mode, policy, tools } = written;
  if (written.kind === 'ext-authz') {
    const { token_from, hosts, max_stream_ms } = written;
    const own = { tokenFrom: token_from && [...new Set(token_from)], hosts };
    return dropUndefined({ name, kind, mode, policy, tools, ...own, maxStreamMs: max_stream_ms });
  }
  const { url, credential, timeouts, private_addresses, link_local_addresses } = written;
  return dropUndefined({
    name,
    kind,
    url,
    mode,
    policy,
    tools,
    credential: credential && { ...credential, header: credential.header.toLowerCase() },
    timeouts:
      timeouts &&
      dropUndefined({
        connectMs: timeouts.connect_ms,
        headersMs: timeouts.headers_ms,
        idleMs: timeouts.idle_ms,
      }),
    privateAddresses: private_addresses,
    linkLocalAddresses: link_local_addresses,
    ...(written.kind === 'http' ? httpFields(written) : mcpFields(written)),
  });
}

type Written<Kind> = Extract<WrittenUpstream, { kind: Kind }>;

function httpFields({ token_from }: Written<'http'>): Partial<Upstream> {
  return { tokenFrom: token_from && [...new Set(token_from)] };
}

function mcpFields({ command, env, cwd, trust_hints }: Written<'mcp'>): Partial<Upstream> {
  return {
    trustHints: trust_hints,
    command: command && dropUndefined({ argv: command, env: env ?? {}, cwd }),
  };
}

function dropUndefined<T extends object>(of: T): T {
  return Object.fromEntries(Object.entries(of).filter(([, value]) => value !== undefined)) as T;
}
