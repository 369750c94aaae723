import type { Caller } from '../../src/types';
import type { VerifiedToken } from '../../src/verified-token';

/** A token that has passed verification, of an agent with these ancestors. */
export function verifiedToken(fields: {
  agent: string;
  ancestors?: string[];
  scopes?: string[];
  kid?: string;
}): VerifiedToken {
  const { agent, ancestors = [], scopes = ['tool:*'], kid = 'key-1' } = fields;
  const caller: Caller = {
    agentId: agent,
    credentialId: `crd_${agent}`,
    tenant: 'ten_1',
    initiatorId: 'ini_1',
    scopes,
    expiresAt: 2_000_000_000,
    chain: [...ancestors, agent],
    taskIds: [],
  };
  return {
    token: `header.${agent}.signature-${agent}`,
    kid,
    lineage: [
      ['tenant:ten_1', 1],
      ['initiator:ini_1', 1],
      ...[...ancestors, agent].map((id) => [`agent:${id}`, 1] as const),
      [`credential:crd_${agent}`, 1],
      [`signing_key:${kid}`, 1],
    ],
    scopes,
    caller,
    expiresAtMs: 2_000_000_000_000,
    allowed: { decision: 'allow', stale: false, caller },
    allowedStale: { decision: 'allow', stale: true, caller },
    seenVersion: -1,
    denial: null,
    isNarrowed: false,
  };
}
