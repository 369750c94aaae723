import { STATUS_CODES } from 'node:http';
import type { OpenAPIObject } from '@nestjs/swagger';
import { ProblemBody } from '@sever/protocol';
import { z } from 'zod';

type Operation = NonNullable<OpenAPIObject['paths'][string]['get']>;
type Answers = Operation['responses'];
type Parameter = NonNullable<Operation['parameters']>[number];
type Schema = NonNullable<NonNullable<OpenAPIObject['components']>['schemas']>[string];

const METHODS = ['get', 'post', 'put', 'patch', 'delete'] as const;
const NOT_CONTAINED =
  'Taken and committed, not contained yet: the same record, in its present state';

/** Operations that succeed in a second way, with the same body. */
const ALSO: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'post /v1/kills': { 202: NOT_CONTAINED },
  'post /v1/agents/{id}/kill': { 202: NOT_CONTAINED },
  'post /v1/agents/{id}/suspend': { 202: NOT_CONTAINED },
  'post /v1/kills/{id}/escalate': { 202: NOT_CONTAINED },
  'delete /v1/enforcement-points/{id}': { 202: NOT_CONTAINED },
  'post /v1/enforcement-points': { 200: 'The key pair was enrolled before: its record' },
};

/** Operations that have more ways to refuse than their form shows. */
const REFUSED: Readonly<Record<string, readonly number[]>> = {
  'post /v1/agents': [409, 422],
  'post /v1/agents/{id}/credentials': [409, 422],
  'post /v1/halt-keys': [422],
  'post /v1/kills': [404, 409, 422],
  'post /v1/kills/preview': [404, 422],
  'post /v1/agents/{id}/kill': [422],
  'post /v1/agents/{id}/suspend': [422],
  'post /v1/kills/{id}/lift': [409, 422],
  'post /v1/kills/{id}/escalate': [409, 422],
  'post /v1/drills': [422],
  'post /v1/subjects/{kind}/{id}/reinstate': [409, 412, 422],
};

const MEANING: Readonly<Record<number, string>> = {
  400: 'The request has not the form that is described here',
  401: 'No credential, or one that is not valid',
  403: 'The credential does not allow this, or its agent is revoked or suspended',
  404: 'There is no such thing, or not for this caller',
  409: 'It does not fit what stands: an ancestor is revoked, a plan has changed, something was done already; `code` says what',
  412: 'The kill that is named is none that keeps this subject dead',
  422: 'The form is right and the meaning is not; `code` says what',
  503: 'The database cannot be reached or is busy; repeat after `Retry-After`',
};

const IDEMPOTENCY_KEY: Parameter = {
  name: 'Idempotency-Key',
  in: 'header',
  required: false,
  description:
    'For 24 hours a repetition with the same key gets the same kill, in its present state.',
  schema: { type: 'string', minLength: 1, maxLength: 255, pattern: '^[\\x20-\\x7e]+$' },
};
const WAIT: Partial<Parameter> = {
  description: 'How long to wait for containment; at most 30 s, by default 2 s.',
  schema: { type: 'string', pattern: '^(0|\\d{1,9}(ms|s))$', default: '2s' },
};

/**
 * Completes a document with what the decorators of the routes do not say: every status of success, and the problem
 * documents of every route that needs a credential. Changes the document.
 */
export function describeAnswers(document: OpenAPIObject): OpenAPIObject {
  const { $schema: _, ...schema } = z.toJSONSchema(ProblemBody, { io: 'output' });
  document.components = {
    ...document.components,
    schemas: { ...document.components?.schemas, Problem: schema as Schema },
  };
  for (const [path, item] of Object.entries(document.paths))
    for (const method of METHODS) {
      const operation = item[method];
      if (operation) describe(operation, `${method} ${path}`);
    }
  return document;
}

function describe(operation: Operation, route: string): void {
  const isPublic = !route.includes(' /v1/');
  operation.responses = {
    ...successes(operation.responses, route),
    ...(isPublic ? {} : problems(operation, route)),
  };
  if (isPublic) operation.security = [];
  if (!/^post .*\/(kills?|suspend)$/.test(route)) return;
  const parameters = (operation.parameters ?? []).filter((one) => !isCalled(one, 'wait'));
  const wait = { name: 'wait', in: 'query', required: false, ...WAIT } as Parameter;
  operation.parameters = [...parameters, wait, IDEMPOTENCY_KEY];
}

/** A success without a status of its own is a 200; the ones in `ALSO` come with the same body. */
function successes(declared: Answers, route: string): Answers {
  const { default: unnamed, ...named } = declared;
  const all: Answers = unnamed === undefined ? named : { ...named, 200: unnamed };
  const [first] = Object.values(all);
  for (const [status, description] of Object.entries(ALSO[route] ?? {}))
    all[status] = { ...first, description };
  for (const [status, answer] of Object.entries(all))
    if (answer && 'description' in answer && answer.description === '')
      answer.description = STATUS_CODES[status] ?? status;
  return all;
}

function problems(operation: Operation, route: string): Answers {
  const parameters = operation.parameters ?? [];
  const statuses = [
    ...(parameters.length > 0 || operation.requestBody ? [400] : []),
    ...[401, 403],
    ...(route.includes('{') ? [404] : []),
    ...(REFUSED[route] ?? []),
    503,
  ];
  return {
    ...Object.fromEntries(statuses.map((status) => [status, answer(MEANING[status] as string)])),
    default: answer('Any other refusal, such as a body that is too large; `code` says which'),
  };
}

function answer(description: string): NonNullable<Answers[string]> {
  const schema = { $ref: '#/components/schemas/Problem' };
  return { description, content: { 'application/problem+json': { schema } } };
}

function isCalled(parameter: Parameter, name: string): boolean {
  return 'name' in parameter && parameter.name === name;
}
