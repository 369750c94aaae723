import type { sendUnaryData, Server, ServerUnaryCall } from '@grpc/grpc-js';
import { problem } from '@sever/protocol';
import { SidecarError } from '../sidecar-error';
import type { Upstream } from '../sidecar-file';
import type { Decider, Verdict } from './decider';
import {
  loadAuthorization,
  type CheckRequest,
  type CheckResponse,
  type HeaderValueOption,
} from './envoy-api';

/** google.rpc.Code */
const OK = 0;
const PERMISSION_DENIED = 7;
const UNAVAILABLE = 14;
const UNAUTHENTICATED = 16;

/** A question holds the headers of one request; bodies are not decided on. */
const MAX_QUESTION_BYTES = 256 * 1_024;

export interface GrpcDecisionsParts {
  readonly decider: Decider;
  /** Upstreams of kind `ext-authz` at this moment. */
  readonly upstreams: () => readonly Upstream[];
}

/** `envoy.service.auth.v3.Authorization/Check`, for Envoy, Istio, agentgateway and whoever else speaks it. */
export class GrpcDecisions {
  private constructor(
    private readonly server: Server,
    /** Where it listens, such as `127.0.0.1:7411`. */
    readonly address: string,
  ) {}

  /** @throws SidecarError when the address cannot be listened on */
  static async listen(
    { host, port }: { host: string; port: number },
    parts: GrpcDecisionsParts,
  ): Promise<GrpcDecisions> {
    const { Server, ServerCredentials } = await import('@grpc/grpc-js');
    const server = new Server({ 'grpc.max_receive_message_length': MAX_QUESTION_BYTES });
    server.addService(await loadAuthorization(), {
      Check: (
        call: ServerUnaryCall<CheckRequest, CheckResponse>,
        done: sendUnaryData<CheckResponse>,
      ) => void answer(call.request, parts).then((response) => done(null, response)),
    });
    const name = host.includes(':') ? `[${host}]` : host;
    const bound = await new Promise<number>((resolve, reject) => {
      server.bindAsync(`${name}:${port}`, ServerCredentials.createInsecure(), (error, at) =>
        error === null ? resolve(at) : reject(error),
      );
    }).catch((cause: unknown) => {
      throw new SidecarError(
        `Cannot listen on ${name}:${port} for gRPC. Set SEVER_SIDECAR_GRPC_PORT to a free port; 0 picks one.`,
        { cause },
      );
    });
    return new GrpcDecisions(server, `${name}:${bound}`);
  }

  close(): void {
    this.server.forceShutdown();
  }
}

async function answer(
  { attributes }: CheckRequest,
  { decider, upstreams }: GrpcDecisionsParts,
): Promise<CheckResponse> {
  const { method = '', path = '', host = '', headers = {} } = attributes?.request?.http ?? {};
  const upstream = upstreamAsked(upstreams(), attributes?.contextExtensions, host);
  if (upstream === undefined) {
    const says =
      'Name an upstream of kind ext-authz: in context_extensions as sever_upstream, or by its hosts';
    return responseOf(decider.refused(problem('not_found', says)));
  }
  const each = Object.entries(headers).map(([name, value]) => [name.toLowerCase(), [value]]);
  return responseOf(
    await decider.decide(upstream, {
      method,
      target: path,
      headers: Object.fromEntries(each) as Record<string, string[]>,
    }),
  );
}

/** What the proxy's config names comes first, then the host, then the only one there is. */
function upstreamAsked(
  upstreams: readonly Upstream[],
  extensions: Readonly<Record<string, string>> | undefined,
  host: string,
): Upstream | undefined {
  const named = extensions?.['sever_upstream'];
  if (named !== undefined) return upstreams.find(({ name }) => name === named);
  const bare = host.replace(/:\d+$/, '').toLowerCase();
  const [only, ...others] = upstreams;
  return (
    upstreams.find(({ hosts }) => hosts?.includes(bare)) ??
    (others.length === 0 && only?.hosts === undefined ? only : undefined)
  );
}

function responseOf({ refusal, headers, identity, remove }: Verdict): CheckResponse {
  if (refusal === null) {
    return {
      status: { code: OK },
      okResponse: {
        headers: options({ ...identity, 'sever-epoch': headers['sever-epoch'] ?? '' }),
        headersToRemove: remove,
      },
    };
  }
  const { status, problem: of } = refusal;
  return {
    status: { code: codeOf(status) },
    deniedResponse: {
      status: { code: status },
      headers: options({ ...headers, 'content-type': 'application/problem+json' }),
      body: JSON.stringify(of),
    },
  };
}

function codeOf(status: number): number {
  if (status === 401) return UNAUTHENTICATED;
  return status === 503 ? UNAVAILABLE : PERMISSION_DENIED;
}

function options(headers: Readonly<Record<string, string>>): HeaderValueOption[] {
  return Object.entries(headers).map(([key, value]) => ({
    header: { key, value },
    appendAction: 'OVERWRITE_IF_EXISTS_OR_ADD',
  }));
}
