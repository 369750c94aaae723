import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Controller, Get, Header } from '@nestjs/common';
import { ApiExcludeController } from '@nestjs/swagger';
import { Public } from '../access/policy';

const page = (name: string): string => readFileSync(join(__dirname, 'console', name), 'utf8');

/** One static page: the key stays in the browser, and the page asks the same API as everybody else. */
@ApiExcludeController()
@Controller('console')
export class ConsoleController {
  private readonly html = page('console.html');
  private readonly css = page('console.css');
  private readonly js = page('console.js');

  @Get()
  @Public()
  @Header('content-type', 'text/html; charset=utf-8')
  show(): string {
    return this.html;
  }

  @Get('console.css')
  @Public()
  @Header('content-type', 'text/css; charset=utf-8')
  style(): string {
    return this.css;
  }

  @Get('console.js')
  @Public()
  @Header('content-type', 'text/javascript; charset=utf-8')
  script(): string {
    return this.js;
  }
}
