import { chmod, mkdir, open, readFile, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { createUser, fromSeed } from '@nats-io/nkeys';
import { calculateJwkThumbprint, exportJWK, generateKeyPair, importJWK, type JWK } from 'jose';
import type { PublicJwk } from '@sever/protocol';
import { systemClock, systemTimers } from './clock';
import { DirectoryLock, LockHeldError } from './directory-lock';
import { keptEmergenciesIn, NOTHING_KEPT, type KeptEmergencies } from './kept-emergencies';
import type { KeyRing } from './key-ring';
import { retry } from './retry';
import { Signer } from './signer';

/** A predecessor that was just killed needs a moment to lose its lock. */
const LOCK_GRACE_MS = 1_500;
const REMEMBERED_BOOTS = 64;
const decoder = new TextDecoder();
const encoder = new TextEncoder();

/**
 * What makes an enforcement point the same one after a restart: its signing key, its NATS user, and the boots that
 * came before this one. Mode 0700, files 0600, held by one process at a time.
 *
 * Holding the lock is what entitles this process to tell the control plane that its predecessors are gone.
 */
export class KeyDirectory {
  private constructor(
    readonly path: string,
    private readonly lock: DirectoryLock,
    readonly signer: Signer,
    readonly publicKey: PublicJwk,
    readonly natsPublicKey: string,
    readonly natsSeed: Uint8Array,
    private boots: string[],
    /** Emergencies and halts that an earlier process wrote down. */
    readonly kept: KeptEmergencies,
    private readonly haltKeys: ReturnType<KeyRing['contents']>,
  ) {}

  /** @throws when another process holds the directory, or it cannot be read or made */
  static async open(path: string): Promise<KeyDirectory> {
    await mkdir(path, { recursive: true });
    await chmod(path, 0o700);
    const lock = await takeLock(path);
    try {
      const jwk = await readOrMake(join(path, 'key.json'), newSigningKey);
      const key = JSON.parse(jwk) as JWK & { crv: 'Ed25519'; x: string };
      const publicKey = { kty: 'OKP', crv: key.crv, x: key.x } as const;
      const kid = await calculateJwkThumbprint(publicKey);
      const signer = new Signer(kid, await importJWK(key, 'EdDSA'));
      const seed = await readOrMake(join(path, 'nats.seed'), newNatsSeed);
      const natsSeed = encoder.encode(seed.trim());
      const natsPublicKey = fromSeed(natsSeed).getPublicKey();
      const boots = bootsIn(await readOrMake(join(path, 'boots.json'), () => '[]'));
      const kept = await readKept(join(path, 'emergencies.json'));
      const haltKeys = JSON.parse(
        await readOrMake(join(path, 'halt-keys.json'), () => '{"live":[],"dead":[]}'),
      ) as ReturnType<KeyRing['contents']>;
      return new KeyDirectory(
        ...([
          path,
          lock,
          signer,
          publicKey,
          natsPublicKey,
          natsSeed,
          boots,
          kept,
          haltKeys,
        ] as const),
      );
    } catch (error) {
      await lock.release();
      throw error;
    }
  }

  /** The oldest earlier boot that the control plane may still count as living. */
  get predecessor(): string | undefined {
    return this.boots[0];
  }

  /**
   * Every boot is written down before it can become known anywhere, so that a crash at any moment leaves no boot that
   * its successor does not know of.
   */
  async enter(bootId: string): Promise<void> {
    await this.write([...this.boots, bootId]);
  }

  /** The control plane has been told that this predecessor is gone. */
  async replaced(predecessor: string, bootId: string): Promise<void> {
    this.boots = this.boots.filter((boot) => boot !== predecessor);
    await this.write([...this.boots, bootId]);
  }

  /** Puts the halt keys that an earlier process knew into the ring, the dead ones first. */
  async recallHaltKeys(ring: KeyRing): Promise<void> {
    for (const kid of this.haltKeys.dead) ring.kill(kid);
    await ring.pin(this.haltKeys.live);
  }

  /** Resolves once the disk has it: a restart after a power cut denies it still. */
  async keepEmergencies(emergencies: KeptEmergencies): Promise<void> {
    await replaceFile(join(this.path, 'emergencies.json'), JSON.stringify(emergencies));
  }

  async keepHaltKeys(ring: KeyRing): Promise<void> {
    await replaceFile(join(this.path, 'halt-keys.json'), JSON.stringify(ring.contents()));
  }

  onLockLost(listener: () => void): void {
    this.lock.onLost(listener);
  }

  async close(): Promise<void> {
    await this.lock.release();
  }

  private async write(boots: string[]): Promise<void> {
    await replaceFile(
      join(this.path, 'boots.json'),
      JSON.stringify(boots.slice(-REMEMBERED_BOOTS)),
    );
  }
}

async function takeLock(path: string): Promise<DirectoryLock> {
  try {
    return await retry(() => DirectoryLock.take(join(path, 'lock')), {
      clock: systemClock,
      timers: systemTimers,
      random: () => 1,
      firstMs: 50,
      maxMs: 200,
      until: systemClock.monotonic() + LOCK_GRACE_MS,
      isTransient: (error) => error instanceof LockHeldError,
    });
  } catch (error) {
    if (!(error instanceof LockHeldError)) throw error;
    throw new Error(
      `the key directory ${path} is held by another process; give each enforcement point its own`,
      { cause: error },
    );
  }
}

async function readOrMake(file: string, make: () => string | Promise<string>): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  const text = await make();
  await replaceFile(file, text);
  return text;
}

async function readKept(file: string): Promise<KeptEmergencies> {
  const text = await readOrMake(file, () => JSON.stringify(NOTHING_KEPT));
  try {
    return keptEmergenciesIn(text);
  } catch (error) {
    throw new Error(
      `${file} is not what an enforcement point writes; without it orders may be forgotten. Restore it, or remove it ` +
        'once the control plane has answered and holds every order.',
      { cause: error },
    );
  }
}

/** A crash leaves the old file or the new one, never half of one; when it resolves, the disk has the new one. */
async function replaceFile(file: string, text: string): Promise<void> {
  const whole = await open(`${file}.new`, 'w', 0o600);
  try {
    await whole.writeFile(text);
    await whole.sync();
  } finally {
    await whole.close();
  }
  await rename(`${file}.new`, file);
  const folder = await open(dirname(file), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

async function newSigningKey(): Promise<string> {
  const { privateKey } = await generateKeyPair('EdDSA', { crv: 'Ed25519', extractable: true });
  return JSON.stringify(await exportJWK(privateKey));
}

function newNatsSeed(): string {
  return decoder.decode(createUser().getSeed());
}

function bootsIn(text: string): string[] {
  const value: unknown = JSON.parse(text);
  return Array.isArray(value) ? value.filter((boot) => typeof boot === 'string') : [];
}
