import { z } from 'zod';

/** The `type` that a schema's messages carry; `undefined` for schemas that are parts of messages. */
export function messageTypeOf(schema: unknown): string | undefined {
  if (!(schema instanceof z.ZodObject)) return undefined;
  const type = (schema.shape as Record<string, unknown>)['type'];
  return type instanceof z.ZodLiteral ? String(type.value) : undefined;
}
