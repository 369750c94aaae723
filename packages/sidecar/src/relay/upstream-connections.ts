import { lookup as systemLookup, type LookupAddress } from 'node:dns';
import { isIP, type LookupFunction } from 'node:net';
import { Agent, buildConnector, type Dispatcher } from 'undici';
import type { Upstream } from '../sidecar-file';
import { addressFault } from './address-rules';

const CONNECT_MS = 5_000;

type Resolve = (
  host: string,
  callback: (error: Error | null, addresses: readonly LookupAddress[]) => void,
) => void;

/**
 * Connections to one upstream. A name is resolved once for each connection, the address is looked at, and the very
 * address that was looked at is connected to: a name that answers differently the second time gains nothing.
 *
 * @param resolve all addresses of a name; by default as the system resolves it
 */
export function connectionsTo(upstream: Upstream, resolve: Resolve = resolveAll): Dispatcher {
  const connect = buildConnector({
    timeout: upstream.timeouts?.connectMs ?? CONNECT_MS,
    lookup: checkedLookup(upstream, resolve),
  });
  return new Agent({
    connect: (options, callback) => {
      // No name is looked up for an address.
      const host = options.hostname.replace(/^\[|\]$/g, '');
      const family = isIP(host);
      const fault = family === 0 ? undefined : addressFault(host, family as 4 | 6, upstream);
      if (fault !== undefined) callback(new Error(fault), null);
      else connect(options, callback);
    },
  });
}

function checkedLookup(upstream: Upstream, resolve: Resolve): LookupFunction {
  return (host, options, callback) => {
    resolve(host, (error, addresses) => {
      if (error !== null) return callback(error, '', 0);
      for (const { address, family } of addresses) {
        const fault = addressFault(address, family as 4 | 6, upstream);
        // One that it may not be at makes the whole name suspect.
        if (fault !== undefined) return callback(new Error(`${host}: ${fault}`), '', 0);
      }
      const [first] = addresses;
      if (first === undefined) return callback(new Error(`${host} has no address`), '', 0);
      if (options.all === true) callback(null, [...addresses]);
      else callback(null, first.address, first.family);
    });
  };
}

const resolveAll: Resolve = (host, callback) =>
  systemLookup(host, { all: true }, (error, addresses) => callback(error, addresses));
