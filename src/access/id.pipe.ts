import type { PipeTransform } from '@nestjs/common';
import { ID_PREFIXES, isId, ProblemError, type IdKind } from '@sever/protocol';

/** A path parameter in canonical form, or 400: ids become NATS tokens and lock names, so nothing else is let in. */
export class IdPipe implements PipeTransform<unknown, string> {
  constructor(private readonly kind: IdKind) {}

  transform(value: unknown): string {
    if (typeof value === 'string' && isId(this.kind, value)) return value;
    throw new ProblemError(
      'bad_request',
      `id: write it as ${ID_PREFIXES[this.kind]}_ and 26 characters.`,
    );
  }
}
