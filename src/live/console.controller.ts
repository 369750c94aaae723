import { readdirSync, readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { Controller, Get, Header, Param, Res } from '@nestjs/common';
import { ApiExcludeController } from '@nestjs/swagger';
import { ProblemError } from '@sever/protocol';
import type { FastifyReply } from 'fastify';
import { Public } from '../access/policy';

const FOLDER = join(__dirname, 'console');
const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
};

/** One static page: the key stays in the browser, and the page asks the same API as everybody else. */
@ApiExcludeController()
@Controller('console')
export class ConsoleController {
  /** Read once; a request names one of these or nothing. */
  private readonly files = new Map(
    readdirSync(FOLDER)
      .filter((name) => extname(name) in TYPES)
      .map((name) => [name, readFileSync(join(FOLDER, name), 'utf8')]),
  );

  @Get()
  @Public()
  @Header('content-type', TYPES['.html'] as string)
  show(): string | undefined {
    return this.files.get('console.html');
  }

  @Get(':file')
  @Public()
  file(@Param('file') name: string, @Res({ passthrough: true }) reply: FastifyReply): string {
    const text = this.files.get(name);
    if (text === undefined) throw new ProblemError('not_found', 'The console has no such file.');
    void reply.type(TYPES[extname(name)] as string);
    return text;
  }
}
