import { ProblemError } from '@sever/protocol';
import { visit } from 'jsonc-parser';
import { parse } from 'secure-json-parse';

/**
 * JSON as RFC 8259 has it, and no member twice: where two readers of one body could see two different orders, it is
 * refused. Keys that would reach a prototype, and characters that cannot be stored, are refused too.
 *
 * @throws ProblemError `bad_request`
 */
export function parseJson(text: string): unknown {
  try {
    const value: unknown = parse(text, { protoAction: 'error', constructorAction: 'error' });
    refuseWhatReadersDisputeOn(text);
    return value;
  } catch (error) {
    if (error instanceof ProblemError) throw error;
    throw new ProblemError(
      'bad_request',
      'The body is not JSON that can be read in one way only.',
      {},
      { cause: error },
    );
  }
}

/** NUL, and half a surrogate pair: the database keeps neither, so one such text would fail a whole batch of orders. */
const UNSTORABLE = /[\0\p{Surrogate}]/u;

function refuseWhatReadersDisputeOn(text: string): void {
  const open: Set<string>[] = [];
  visit(text, {
    onLiteralValue: (value) => {
      if (typeof value === 'string') refuseUnstorable(value);
    },
    onObjectBegin: () => void open.push(new Set()),
    onObjectEnd: () => void open.pop(),
    onObjectProperty: (name) => {
      refuseUnstorable(name);
      const names = open.at(-1);
      if (names?.has(name))
        throw new ProblemError(
          'bad_request',
          `The member ${JSON.stringify(name.slice(0, 64))} stands twice; say it once.`,
        );
      names?.add(name);
    },
  });
}

function refuseUnstorable(text: string): void {
  if (UNSTORABLE.test(text))
    throw new ProblemError(
      'bad_request',
      'A text holds U+0000 or half of a surrogate pair; leave it out.',
    );
}
