/**
 * NATS subjects. Every token is minted by the control plane and matches `[A-Za-z0-9_-]{1,64}`, so no value from
 * outside can add a token or a wildcard.
 */
const PREFIX = 'sever.v1';
const TOKEN = /^[A-Za-z0-9_-]{1,64}$/;

/** Requests of an enforcement point, each on a subject of its own that only it may publish. */
export const EP_REQUESTS = ['snapshot', 'range', 'lease', 'receipt', 'evidence', 'call'] as const;
export type EpRequest = (typeof EP_REQUESTS)[number];

/** What the control plane tells every enforcement point of a tenant. */
export const BROADCASTS = ['stream', 'pulse', 'emergency'] as const;
export type Broadcast = (typeof BROADCASTS)[number];

export function broadcastSubject(kind: Broadcast, tenant: string): string {
  return `${PREFIX}.${kind}.${token(tenant)}`;
}

export function requestSubject(kind: EpRequest, tenant: string, ep: string): string {
  return `${PREFIX}.${kind}.${token(tenant)}.${token(ep)}`;
}

/** What the control plane subscribes to: one kind of request from every enforcement point of every tenant. */
export function allRequests(kind: EpRequest): string {
  return `${PREFIX}.${kind}.*.*`;
}

/** One kind of broadcast of every tenant; only a control plane may subscribe to that. */
export function allBroadcasts(kind: Broadcast): string {
  return `${PREFIX}.${kind}.*`;
}

const REQUEST = new RegExp(
  `^sever\\.v1\\.(?:${EP_REQUESTS.join('|')})\\.([A-Za-z0-9_-]{1,64})\\.([A-Za-z0-9_-]{1,64})$`,
);

/** The enforcement point that a request's subject names. The broker's permissions make it the sender. */
export function requestSender(subject: string): { tenant: string; ep: string } | null {
  const [, tenant, ep] = REQUEST.exec(subject) ?? [];
  return tenant !== undefined && ep !== undefined ? { tenant, ep } : null;
}

/** Prefix of the inboxes that only this enforcement point may subscribe to. */
export function inboxPrefix(tenant: string, ep: string): string {
  return `_R.${token(tenant)}.${token(ep)}`;
}

/** May a reply go there? Only into the inbox of the enforcement point that asked, and never to a wildcard. */
export function isOwnInbox(reply: string, tenant: string, ep: string): boolean {
  const prefix = `${inboxPrefix(tenant, ep)}.`;
  return (
    reply.startsWith(prefix) &&
    reply
      .slice(prefix.length)
      .split('.')
      .every((part) => TOKEN.test(part))
  );
}

/** What the broker lets one enforcement point do, and nothing else. */
export function epPermissions(
  tenant: string,
  ep: string,
): { publish: string[]; subscribe: string[] } {
  return {
    publish: EP_REQUESTS.map((kind) => requestSubject(kind, tenant, ep)),
    subscribe: [
      ...BROADCASTS.map((kind) => broadcastSubject(kind, tenant)),
      `${inboxPrefix(tenant, ep)}.>`,
    ],
  };
}

function token(text: string): string {
  if (!TOKEN.test(text))
    throw new RangeError(`not a NATS token: ${JSON.stringify(text.slice(0, 80))}`);
  return text;
}
