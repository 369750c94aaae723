/**
 * The bytes, if they end within so many; otherwise `undefined`, and `rest` gives all of them, those that were read
 * included.
 */
export async function wholeBody(
  bytes: AsyncIterable<Buffer>,
  limit: number,
): Promise<{ readonly body: Buffer | undefined; readonly rest: AsyncIterable<Buffer> }> {
  const iterator = bytes[Symbol.asyncIterator]();
  const read: Buffer[] = [];
  for (let size = 0; size <= limit;) {
    const next = await iterator.next();
    if (next.done === true) {
      const body = Buffer.concat(read);
      return { body, rest: after([body], iterator) };
    }
    read.push(next.value);
    size += next.value.length;
  }
  return { body: undefined, rest: after(read, iterator) };
}

async function* after(
  read: readonly Buffer[],
  iterator: AsyncIterator<Buffer>,
): AsyncGenerator<Buffer> {
  try {
    for (const chunk of read) if (chunk.length > 0) yield chunk;
    for (let next = await iterator.next(); next.done !== true; next = await iterator.next())
      yield next.value;
  } finally {
    await iterator.return?.();
  }
}
