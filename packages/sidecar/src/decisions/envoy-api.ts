import { dirname, join } from 'node:path';
import type { ServiceDefinition } from '@grpc/grpc-js';

/** What is read of `envoy.service.auth.v3.CheckRequest`. */
export interface CheckRequest {
  readonly attributes?: {
    readonly request?: {
      readonly http?: {
        readonly method?: string;
        readonly path?: string;
        readonly host?: string;
        /** By name in lower case; a header that stood there more than once is joined with commas. */
        readonly headers?: Readonly<Record<string, string>>;
      };
    };
    readonly contextExtensions?: Readonly<Record<string, string>>;
  };
}

export interface HeaderValueOption {
  readonly header: { readonly key: string; readonly value: string };
  /** Whatever the client sent under that name is replaced. */
  readonly appendAction: 'OVERWRITE_IF_EXISTS_OR_ADD';
}

/** What is said of `envoy.service.auth.v3.CheckResponse`. */
export interface CheckResponse {
  readonly status: { readonly code: number };
  readonly okResponse?: {
    readonly headers: readonly HeaderValueOption[];
    readonly headersToRemove: readonly string[];
  };
  readonly deniedResponse?: {
    readonly status: { readonly code: number };
    readonly headers: readonly HeaderValueOption[];
    readonly body: string;
  };
}

/** The service as Envoy's own definitions have it. Read when it is needed: it takes a tenth of a second. */
export async function loadAuthorization(): Promise<ServiceDefinition> {
  const { load } = await import('@grpc/proto-loader');
  const definitions = join(dirname(require.resolve('@grpc/grpc-js-xds/package.json')), 'deps');
  const loaded = await load('envoy/service/auth/v3/external_auth.proto', {
    includeDirs: ['envoy-api', 'xds', 'googleapis', 'protoc-gen-validate'].map((folder) =>
      join(definitions, folder),
    ),
    enums: String,
    defaults: false,
  });
  return loaded['envoy.service.auth.v3.Authorization'] as ServiceDefinition;
}
