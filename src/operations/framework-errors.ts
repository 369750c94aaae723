import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { problem, type Problem } from '@sever/protocol';
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import { toProblem } from './problem';

export const PROBLEM_TYPE = 'application/problem+json; charset=utf-8';

/** What the router refuses before there is a route, and thus before any filter. */
export function answerUnroutable(
  error: FastifyError,
  _: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  const body =
    error.code === 'FST_ERR_BAD_URL'
      ? problem(
          'bad_request',
          'The path cannot be decoded: % stands before something else than UTF-8 in hex.',
        )
      : toProblem(error);
  return reply.status(body.status).header('content-type', PROBLEM_TYPE).send(JSON.stringify(body));
}

/** What is no HTTP request at all; there is nothing yet but the socket to answer on. */
export function answerUnreadable(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return;
  const body = unreadable(error.code);
  const text = JSON.stringify(body);
  if (socket.writable)
    socket.write(
      [
        `HTTP/1.1 ${body.status} ${STATUS_CODES[body.status]}`,
        `content-type: ${PROBLEM_TYPE}`,
        `content-length: ${Buffer.byteLength(text)}`,
        'connection: close',
        '',
        text,
      ].join('\r\n'),
    );
  socket.destroy(error);
}

function unreadable(code: string | undefined): Problem {
  switch (code) {
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return problem('request_timeout', 'The request did not arrive in time; send it again.');
    case 'HPE_HEADER_OVERFLOW':
      return problem('headers_too_large', 'Path and headers take more than 16 KB together.');
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return problem('payload_too_large', 'The extensions of a chunk are larger than 16 KB.');
    default:
      return problem('bad_request', 'This is not an HTTP request that can be read.');
  }
}
