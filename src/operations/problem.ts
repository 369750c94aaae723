import { HttpException } from '@nestjs/common';
import { problem, ProblemError, type Problem, type ProblemCode } from '@sever/protocol';
import { ZodSerializationException, ZodValidationException } from 'nestjs-zod';
import type { ZodError } from 'zod';
import { isDatabaseAway } from '../database/reach';

/** Errors of the framework and the database in our own terms. */
export function toProblem(error: unknown): Problem {
  if (error instanceof ProblemError) return error.toProblem();
  if (error instanceof ZodValidationException) return fromZod(error.getZodError() as ZodError);
  if (error instanceof ZodSerializationException) return internal();
  const status = error instanceof HttpException ? error.getStatus() : statusOf(error);
  const code = status === undefined ? undefined : CODE_OF_STATUS[status];
  if (code !== undefined) return problem(code, detailOf(code, error));
  const databaseCode = (error as { code?: unknown } | null)?.code;
  if (databaseCode === '55P03' || databaseCode === '57014' || databaseCode === '57P01')
    return problem('fence_busy', 'A kill or another order holds this tree; try again in a second.');
  // U+0000 in a path or a query; bodies that hold it are refused when they are read.
  if (databaseCode === '22021' || databaseCode === '22P05')
    return problem('bad_request', 'A value holds a character that cannot be stored.');
  if (isDatabaseAway(error))
    return problem('unavailable', 'The database cannot be reached; try again in a second.');
  return internal();
}

const CODE_OF_STATUS: Record<number, ProblemCode> = {
  400: 'bad_request',
  404: 'not_found',
  405: 'method_not_allowed',
  413: 'payload_too_large',
  414: 'uri_too_long',
  415: 'unsupported_media_type',
};

function detailOf(code: ProblemCode, error: unknown): string {
  switch (code) {
    case 'not_found':
      return 'There is nothing here; see /openapi.json for the routes.';
    case 'payload_too_large':
      return 'The body is larger than 64 KB.';
    case 'uri_too_long':
      return 'A part of the path is longer than any id.';
    case 'unsupported_media_type':
      return 'Send the body as application/json, in UTF-8.';
    default:
      return error instanceof Error && error.message !== '' ? error.message : code;
  }
}

/** A value that has the right form but no meaning is 422 by its own code; the wrong form is 400. */
function fromZod(error: ZodError): Problem {
  const issues = error.issues
    .slice(0, 10)
    .map((issue) => `${issue.path.join('.') || 'body'}: ${issue.message}`);
  return problem('bad_request', issues.join('; '));
}

function statusOf(error: unknown): number | undefined {
  const status = (error as { statusCode?: unknown } | null)?.statusCode;
  return typeof status === 'number' ? status : undefined;
}

function internal(): Problem {
  return problem('internal', 'Something went wrong here; the log of the control plane says what.');
}
