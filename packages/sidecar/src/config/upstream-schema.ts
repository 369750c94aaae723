import { z } from 'zod';
import { TOKEN_HEADERS, UPSTREAM_KINDS } from './upstream';

/** Paths of the sidecar itself: an upstream of that name would shadow them. */
const RESERVED = ['check', 'halt', 'state', 'healthz', 'readyz', 'metrics', 'ext-authz'];

const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}$/;
/** Visible ASCII and spaces between: a value that ended its own line could add headers. */
export const HEADER_VALUE = /^[\x21-\x7e]+( +[\x21-\x7e]+)*$/;
export const HEADER_VALUE_FAULT = 'must be one line of visible ASCII';
/** What frames a message or routes it. */
const NO_CREDENTIAL = [
  ...['host', 'connection', 'upgrade', 'te', 'trailer', 'expect', 'keep-alive'],
  ...['content-length', 'content-type', 'transfer-encoding', 'accept-encoding'],
];

export const ModeField = z.enum(['strict', 'best_effort'], 'must be strict or best_effort');
const Addresses = z.enum(['allow', 'refuse'], 'must be allow or refuse');
const Milliseconds = z
  .int('must be a whole number of milliseconds')
  .min(1, 'must be at least 1 millisecond')
  .max(86_400_000, 'must be at most 86400000 milliseconds, a day');

const UpstreamUrl = z
  .url({ protocol: /^https?$/, error: 'must be an http or https URL' })
  .refine((text) => {
    const url = URL.canParse(text) ? new URL(text) : undefined;
    return url === undefined || (url.username === '' && url.password === '' && url.hash === '');
  }, 'must hold neither a user name nor a fragment');

const name = z
  .string()
  .regex(/^[a-z0-9-]{1,32}$/, 'must be 1 to 32 of a-z, 0-9 and -')
  .refine((text) => !RESERVED.includes(text), {
    error: `is a path of the sidecar itself; choose another name than ${RESERVED.join(', ')}`,
  });

function toolRules(match: RegExp, says: string) {
  return z
    .array(
      z
        .strictObject({
          match: z.string().max(256).regex(match, says),
          effect: z.enum(['read', 'write'], 'must be read or write').optional(),
          mode: ModeField.optional(),
        })
        .refine(
          ({ effect, mode }) => effect !== undefined || mode !== undefined,
          'says nothing; give it an effect or a mode',
        ),
    )
    .max(1_000)
    .optional();
}

const TokenFrom = z
  .array(z.enum(TOKEN_HEADERS, `must be of ${TOKEN_HEADERS.join(', ')}`))
  .min(1, 'must name a header')
  .optional();
const PathRules = toolRules(
  /^(?:\*|(?:[A-Z]{1,16} )?\/[^*\s]*\*?)$/,
  'must be a path, after a method and a space if it is about one; * stands only at its end',
);

const common = {
  name,
  mode: ModeField.optional(),
  policy: z.enum(['enforce', 'observe'], 'must be enforce or observe').optional(),
  credential: z
    .strictObject({
      header: z
        .string()
        .regex(HEADER_NAME, 'must be the name of a header')
        .refine(
          (header) => !NO_CREDENTIAL.includes(header.toLowerCase()),
          'is a header that carries no credential',
        ),
      value: z.string().max(8_192).regex(HEADER_VALUE, HEADER_VALUE_FAULT),
    })
    .optional(),
  timeouts: z
    .strictObject({
      connect_ms: Milliseconds.optional(),
      headers_ms: Milliseconds.optional(),
      idle_ms: Milliseconds.optional(),
    })
    .optional(),
  private_addresses: Addresses.optional(),
  link_local_addresses: Addresses.optional(),
};

const McpUpstream = z
  .strictObject({
    ...common,
    kind: z.literal('mcp'),
    url: UpstreamUrl.optional(),
    command: z
      .tuple([z.string().min(1)], z.string(), 'must be a list: the program, then its arguments')
      .optional(),
    env: z.record(z.string().regex(/^[^=\0]+$/, 'must be a name'), z.string()).optional(),
    cwd: z.string().min(1).optional(),
    trust_hints: z.boolean('must be true or false').optional(),
    tools: toolRules(/^(?:\*|[^*]+\*?)$/, 'must be the name of a tool; * stands only at its end'),
  })
  .superRefine((upstream, context) => {
    const { url, command } = upstream;
    const fault = (path: string, message: string): void =>
      context.addIssue({ code: 'custom', path: [path], message });
    if (command === undefined) {
      if (url === undefined) fault('url', 'must be an http or https URL; or give a command');
      for (const key of ['env', 'cwd'] as const)
        if (upstream[key] !== undefined) fault(key, 'goes with a command');
      return;
    }
    if (url !== undefined) fault('command', 'and url exclude each other');
    for (const key of [
      'credential',
      'timeouts',
      'private_addresses',
      'link_local_addresses',
    ] as const)
      if (upstream[key] !== undefined) fault(key, 'goes with a url; a command takes env');
  });

const HttpUpstream = z.strictObject({
  ...common,
  kind: z.literal('http'),
  url: UpstreamUrl.refine(
    (text) =>
      !URL.canParse(text) || !/[?;%\\]|\/\/|\/\.\.?(\/|$)/.test(text.replace(/^\w+:\/\//, '')),
    'must be an origin and a plain path, without a query',
  ),
  token_from: TokenFrom,
  tools: PathRules,
});

const DecidedUpstream = z.strictObject({
  name,
  kind: z.literal('ext-authz'),
  mode: common.mode,
  policy: common.policy,
  token_from: TokenFrom,
  tools: PathRules,
  hosts: z
    .array(z.string().regex(/^[a-z0-9.-]{1,253}$/, 'must be a host in lower case, without a port'))
    .min(1, 'must name a host')
    .optional(),
  max_stream_ms: Milliseconds.optional(),
});

/** One of `upstreams` as it is written. */
export const WrittenUpstream = z.discriminatedUnion(
  'kind',
  [McpUpstream, HttpUpstream, DecidedUpstream],
  {
    error: (issue) =>
      issue.code === 'invalid_union'
        ? `is not a kind that this version serves; it serves: ${UPSTREAM_KINDS.join(', ')}`
        : undefined,
  },
);
export type WrittenUpstream = z.output<typeof WrittenUpstream>;
