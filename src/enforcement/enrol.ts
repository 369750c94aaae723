import { randomBytes } from 'node:crypto';
import {
  ENROLMENT_PROOF_TYP,
  EnrolmentProof,
  epPermissions,
  ProblemError,
  type EnrolReply,
  type EnrolRequest,
} from '@sever/protocol';
import { calculateJwkThumbprint, compactVerify, importJWK, type JWK } from 'jose';
import { type HaltKeyStore } from '../access/halt-key.store';
import type { EnrollerPrincipal, KeyPrincipal } from '../access/principal';
import { hashSecretKey, newSecretKey } from '../access/secret-keys';
import { type Broker } from '../broker/broker';
import { isUserKey } from '../broker/user-key';
import { type Issuer } from '../signing/issuer';
import { type Sealer } from '../signing/sealer';
import { type SigningKeys } from '../signing/signing-keys';
import { type EnforcementPointStore } from './enforcement-point.store';
import { type EndUsers } from './end-users';
import { leaseKeyPlace } from './lease-signer';

const LEASE_KEY_BYTES = 32;

export interface EnrolPorts {
  readonly store: EnforcementPointStore;
  readonly broker: Broker;
  readonly keys: SigningKeys;
  readonly sealer: Sealer;
  readonly issuer: Issuer;
  readonly endUsers: EndUsers;
  readonly haltKeys: HaltKeyStore;
}

/**
 * Makes whoever holds an enrolment key and proves that it holds a key pair of its own an enforcement point: it gets its
 * keys, and a user at the broker that may use exactly its own subjects.
 */
export class Enrol {
  constructor(private readonly ports: EnrolPorts) {}

  /** A public key that is known already is the same enforcement point: what it got before is replaced. */
  async enrol(
    caller: EnrollerPrincipal | KeyPrincipal,
    request: EnrolRequest,
  ): Promise<{ created: boolean; reply: EnrolReply }> {
    const { tenant } = caller;
    const proof = await provenBy(request);
    const kid = await calculateJwkThumbprint(request.public_key as JWK);
    const accessKey = newSecretKey('access');
    const leaseKey = randomBytes(LEASE_KEY_BYTES);
    const enrolmentKeyId = caller.kind === 'key' ? caller.keyId : caller.id;
    const outcome = await this.ports.store.enrol({
      ...{ tenant, request, kid, proof, enrolmentKeyId },
      actor: { id: caller.id, name: caller.name, kind: caller.kind },
      accessKeyHash: hashSecretKey(accessKey),
      seal: (id) => this.ports.sealer.seal(leaseKey, leaseKeyPlace(tenant, id)),
    });
    if (outcome.refused === 'bad_proof')
      throw badProof('its time is more than 5 minutes off, or it was used before');
    if (outcome.refused === 'user_of_another')
      throw new ProblemError(
        'bad_request',
        'nats_public_key belongs to another enforcement point. Make a new NATS key beside the new key pair.',
      );
    if (outcome.refused === 'revoked')
      throw new ProblemError(
        'enforcement_point_revoked',
        'This enforcement point, or the enrolment key it came with, has been revoked; enrol with a new key pair and a valid enrolment key.',
        { terminal: true },
      );
    if (!outcome.created) this.ports.endUsers.request();
    return {
      created: outcome.created,
      reply: {
        ...{ id: outcome.id, tenant, enrolment_key_id: enrolmentKeyId },
        access_key: accessKey,
        lease_key: leaseKey.toString('base64url'),
        ...(await this.access(tenant, {
          ...{ id: outcome.id, name: request.name },
          user: { publicKey: request.nats_public_key, issuedAt: outcome.userIssuedAt },
        })),
      },
    };
  }

  /** What an enforcement point needs to connect and to verify; the same again when it asks about itself. */
  async access(
    tenant: string,
    { id, name, user }: { id: string; name: string; user: { publicKey: string; issuedAt: number } },
  ): Promise<Pick<EnrolReply, 'nats' | 'stream_keys' | 'token_keys' | 'halt_keys' | 'issuer'>> {
    const { broker, keys, issuer, haltKeys } = this.ports;
    // A tenant whose first enforcement point comes before its first token has no keys yet: they are made here.
    await Promise.all([keys.liveKey(tenant, 'stream'), keys.liveKey(tenant, 'token')]);
    const [jwt, streamKeys, tokenKeys, halting] = await Promise.all([
      broker.mintUserJwt({
        ...{ userPublicKey: user.publicKey, issuedAt: user.issuedAt, name },
        ...epPermissions(tenant, id),
      }),
      keys.publicKeys(tenant, 'stream'),
      keys.publicKeys(tenant, 'token'),
      haltKeys.publicKeys(tenant),
    ]);
    return {
      nats: { urls: broker.urls, jwt },
      stream_keys: streamKeys,
      token_keys: tokenKeys,
      halt_keys: halting,
      issuer: issuer.url,
    };
  }
}

/** The proof binds the name and the broker's key to the key pair, so none of the three can be exchanged on the way. */
async function provenBy(request: EnrolRequest): Promise<EnrolmentProof> {
  if (!isUserKey(request.nats_public_key))
    throw new ProblemError('bad_request', 'nats_public_key is not the public NKey of a user.');
  let proof: EnrolmentProof;
  try {
    const key = await importJWK(request.public_key as JWK, 'EdDSA');
    const { payload, protectedHeader } = await compactVerify(request.proof, key, {
      algorithms: ['EdDSA'],
    });
    if (protectedHeader.typ !== ENROLMENT_PROOF_TYP) throw new Error('wrong typ');
    proof = EnrolmentProof.parse(JSON.parse(Buffer.from(payload).toString()));
  } catch (error) {
    throw badProof('it is not a proof signed by public_key', error);
  }
  if (proof.name !== request.name || proof.nats_public_key !== request.nats_public_key)
    throw badProof('it names another enforcement point, or another NATS key');
  return proof;
}

function badProof(why: string, cause?: unknown): ProblemError {
  return new ProblemError(
    'bad_proof',
    `The proof does not hold: ${why}. Sign {name, nats_public_key, iat, jti} anew with the private key of public_key.`,
    {},
    { cause },
  );
}
