import { BlockList } from 'node:net';
import type { Upstream } from '../sidecar-file';

/** Where hosts find each other, and clouds their metadata, without anybody having named an address. */
const LINK_LOCAL = listOf(
  ['169.254.0.0', 16, 'ipv4'],
  ['fe80::', 10, 'ipv6'],
  // Metadata services that stand outside of it.
  ['100.100.100.200', 32, 'ipv4'],
  ['192.0.0.192', 32, 'ipv4'],
  ['fd00:ec2::254', 128, 'ipv6'],
  // 169.254.0.0/16 in the addresses that carry an IPv4 one (RFC 6052, RFC 3056).
  ['64:ff9b::a9fe:0', 112, 'ipv6'],
  ['2002:a9fe::', 32, 'ipv6'],
);

const PRIVATE = listOf(
  ['0.0.0.0', 8, 'ipv4'],
  ['10.0.0.0', 8, 'ipv4'],
  ['100.64.0.0', 10, 'ipv4'],
  ['127.0.0.0', 8, 'ipv4'],
  ['172.16.0.0', 12, 'ipv4'],
  ['192.168.0.0', 16, 'ipv4'],
  ['::', 127, 'ipv6'],
  ['fc00::', 7, 'ipv6'],
  ['64:ff9b::', 96, 'ipv6'],
  ['2002::', 16, 'ipv6'],
);

type Rules = Pick<Upstream, 'privateAddresses' | 'linkLocalAddresses'>;

/** Why an upstream may not be reached at this address; `undefined` when it may. */
export function addressFault(address: string, family: 4 | 6, rules: Rules): string | undefined {
  const type = family === 4 ? 'ipv4' : 'ipv6';
  if (LINK_LOCAL.check(address, type)) {
    return rules.linkLocalAddresses === 'allow'
      ? undefined
      : `${address} is a link-local or metadata address; link_local_addresses: allow lets it`;
  }
  if (rules.privateAddresses === 'refuse' && PRIVATE.check(address, type)) {
    return `${address} is a private address, which private_addresses: refuse keeps out`;
  }
  return undefined;
}

function listOf(...nets: readonly [string, number, 'ipv4' | 'ipv6'][]): BlockList {
  const list = new BlockList();
  for (const [net, prefix, type] of nets) list.addSubnet(net, prefix, type);
  return list;
}
