/** What the sidecar stands before, as its config names it: read by everything that relays. */
export interface Upstream {
  readonly name: string;
  readonly kind: UpstreamKind;
  /** Where calls go, path included. Absent for a wrapped stdio server, and where another proxy carries calls out. */
  readonly url?: string | undefined;
  /** `mcp` instead of a url: the stdio server that the sidecar starts and wraps. */
  readonly command?: StdioCommand | undefined;
  /** Absent: the mode of the sidecar. */
  readonly mode?: UpstreamMode | undefined;
  /** Absent: `enforce`. `observe` lets unknown callers and missing scopes through; revocations hold either way. */
  readonly policy?: 'enforce' | 'observe' | undefined;
  /** What MCP servers say of their own tools counts (`readOnlyHint`); absent: it does not. */
  readonly trustHints?: boolean | undefined;
  /** In the order of the file; the first that matches decides. */
  readonly tools?: readonly ToolRule[] | undefined;
  /** Where the agent's token may stand; absent: `authorization`. */
  readonly tokenFrom?: readonly TokenHeader[] | undefined;
  /** What the upstream gets in place of the agent's token. */
  readonly credential?: UpstreamCredential | undefined;
  readonly timeouts?: UpstreamTimeouts | undefined;
  /** `ext-authz`: the hosts that questions over gRPC are about, in lower case and without a port. */
  readonly hosts?: readonly string[] | undefined;
  /** `ext-authz`: how long the other proxy lets a call last at most, in milliseconds; absent: 60 s. */
  readonly maxStreamMs?: number | undefined;
  /** Absent: `allow`, since a sidecar mostly stands before servers of its own network. */
  readonly privateAddresses?: 'allow' | 'refuse' | undefined;
  /** 169.254.0.0/16, fe80::/10 and their like, where clouds keep their metadata. Absent: `refuse`. */
  readonly linkLocalAddresses?: 'allow' | 'refuse' | undefined;
}

/** One that is reached over HTTP, as all are but wrapped stdio servers. */
export type UrlUpstream = Upstream & { readonly url: string };

/** `ext-authz`: decided about here, carried out by another proxy. */
export const UPSTREAM_KINDS = ['mcp', 'http', 'ext-authz'] as const;
export type UpstreamKind = (typeof UPSTREAM_KINDS)[number];

export type UpstreamMode = 'strict' | 'best_effort';

export const TOKEN_HEADERS = ['authorization', 'x-api-key'] as const;
export type TokenHeader = (typeof TOKEN_HEADERS)[number];

export interface StdioCommand {
  /** The program and its arguments; no shell reads them. */
  readonly argv: readonly [string, ...string[]];
  /** Laid over what little of the sidecar's environment the server inherits. */
  readonly env: Readonly<Record<string, string>>;
  /** Absent: the sidecar's. */
  readonly cwd?: string | undefined;
}

/**
 * What the config says of some tools. `match` is a tool's name, or for kind `http` a path after an optional method
 * (`POST /v1/search*`); `*` stands only as the last character and means any suffix.
 */
export interface ToolRule {
  readonly match: string;
  readonly effect?: 'read' | 'write' | undefined;
  readonly mode?: UpstreamMode | undefined;
}

export interface UpstreamCredential {
  /** Lower case. */
  readonly header: string;
  /** The secret itself; never logged, shown or reported. */
  readonly value: string;
}

/** Milliseconds; absent: 5 s to connect, and no limit to the rest, since a tool may run for hours. */
export interface UpstreamTimeouts {
  readonly connectMs?: number | undefined;
  /** Until the response's headers, from the end of the request. */
  readonly headersMs?: number | undefined;
  /** Between two pieces of the response. */
  readonly idleMs?: number | undefined;
}

export function hasUrl(upstream: Upstream): upstream is UrlUpstream {
  return upstream.url !== undefined;
}

/**
 * What the config says about a tool of this name.
 *
 * @param names more than one when the same thing has several: `GET /v1/x` and `/v1/x`. A rule that fits any of them fits.
 */
export function ruleFor(
  upstream: Pick<Upstream, 'tools'>,
  ...names: readonly string[]
): ToolRule | undefined {
  return upstream.tools?.find(({ match }) => names.some((name) => fits(match, name)));
}

function fits(match: string, name: string): boolean {
  return match.endsWith('*') ? name.startsWith(match.slice(0, -1)) : name === match;
}
