import { createHmac, timingSafeEqual } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { ProblemError, type List } from '@sever/protocol';
import { Sealer } from '../signing/sealer';

const MAC_BYTES = 12;

/** Which list of which tenant a cursor belongs to. */
export interface ListPlace {
  readonly tenant: string;
  readonly list: string;
}

/**
 * Cursors name the last item of a page. They are authenticated and belong to one list of one tenant, so that whoever
 * gets one can do nothing with it but go on reading.
 */
@Injectable()
export class Cursors {
  private readonly key: Uint8Array;

  constructor(sealer: Sealer) {
    this.key = sealer.derivedKey('cursors');
  }

  /** @throws ProblemError `bad_request` when it is not one that this list gave out. */
  read(place: ListPlace, cursor: string | undefined): string | undefined {
    if (cursor === undefined) return undefined;
    const bytes = Buffer.from(cursor, 'base64url');
    const position = bytes.subarray(MAC_BYTES).toString('utf8');
    const mac = bytes.subarray(0, MAC_BYTES);
    const genuine = mac.length === MAC_BYTES && timingSafeEqual(mac, this.mac(place, position));
    if (!genuine || bytes.toString('base64url') !== cursor)
      throw new ProblemError(
        'bad_request',
        'cursor: use next_cursor of the page before, unchanged.',
      );
    return position;
  }

  /** One page from `limit + 1` rows: the extra one only tells that there is more. */
  page<T>(place: ListPlace, rows: T[], limit: number, positionOf: (last: T) => string): List<T> {
    const items = rows.slice(0, limit);
    const last = items.at(-1);
    const more = rows.length > limit && last !== undefined;
    return { items, next_cursor: more ? this.write(place, positionOf(last)) : null };
  }

  /** For lists whose order is not that of ids: the number of items before the page. */
  readOffset(place: ListPlace, cursor: string | undefined): number {
    return Number(this.read(place, cursor) ?? 0);
  }

  private write(place: ListPlace, position: string): string {
    return Buffer.concat([this.mac(place, position), Buffer.from(position)]).toString('base64url');
  }

  private mac({ tenant, list }: ListPlace, position: string): Buffer {
    return createHmac('sha256', this.key)
      .update(JSON.stringify([tenant, list, position]))
      .digest()
      .subarray(0, MAC_BYTES);
  }
}
