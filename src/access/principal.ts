import type { KEY_ROLES, Lineage } from '@sever/protocol';

export type KeyRole = (typeof KEY_ROLES)[number];
export type RoleName = KeyRole | 'agent' | 'enforcement_point' | 'enroller';

/** Who calls, as the guard has verified it. The tenant comes from here alone. */
export type Principal =
  KeyPrincipal | AgentPrincipal | EnforcementPointPrincipal | EnrollerPrincipal;

export interface KeyPrincipal {
  readonly kind: 'key';
  readonly tenant: string;
  readonly id: string;
  readonly name: string;
  /** The bootstrap key holds every role. */
  readonly roles: ReadonlySet<RoleName>;
  /** Set when the key may enrol as well: the bootstrap key's own id. */
  readonly keyId: string;
}

export interface AgentPrincipal {
  readonly kind: 'agent';
  readonly tenant: string;
  /** The agent that acts. */
  readonly id: string;
  readonly credentialId: string;
  readonly familyId: string;
  readonly lineage: Lineage;
  /** May call tools, but neither spawn, mint, exchange nor kill. */
  readonly toolsOnly: boolean;
  /** `kid` of the key that signed its token: dead with the key. */
  readonly signingKey: string;
}

export interface EnforcementPointPrincipal {
  readonly kind: 'enforcement_point';
  readonly tenant: string;
  readonly id: string;
  readonly name: string;
  /** `ending`: killed, and it has neither confirmed that nor had its time to. `ended`: killed. */
  readonly standing: 'live' | 'ending' | 'ended';
}

export interface EnrollerPrincipal {
  readonly kind: 'enroller';
  readonly tenant: string;
  /** The enrolment key's id. */
  readonly id: string;
  readonly name: string;
}
