import type { Caller } from './types';
import type { VerifiedToken } from './verified-token';

/**
 * What stands for a caller without a valid token where the policy only observes. Nothing that it says of itself is believed,
 * so all that can reach it is an order against the tenant, the upstream or the tool.
 */
export function unknownCaller(tenant: string): VerifiedToken {
  const caller: Caller = {
    ...{
      agentId: '',
      credentialId: '',
      tenant,
      initiatorId: '',
      scopes: [],
      chain: [],
      taskIds: [],
    },
    expiresAt: Number.MAX_SAFE_INTEGER,
  };
  const wouldDeny = 'invalid_token';
  return {
    ...{ token: '', kid: '', lineage: [[`tenant:${tenant}`, 1]], scopes: [], caller },
    expiresAtMs: Number.MAX_SAFE_INTEGER,
    allowed: Object.freeze({ decision: 'allow', stale: false, caller, wouldDeny }),
    allowedStale: Object.freeze({ decision: 'allow', stale: true, caller, wouldDeny }),
    ...{ seenVersion: -1, denial: null, isNarrowed: false },
  };
}
