import 'reflect-metadata';
import { setTimeout as delay } from 'node:timers/promises';
import { Controller, Get, Module, Post } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import type { Caller } from '@sever/enforcement';
import { Effect, SeverCaller, SeverModule, SeverSignal, Tool } from '@sever/nestjs';

const {
  SEVER_URL = 'http://127.0.0.1:7400',
  SEVER_ENROLMENT_KEY = '',
  PORT = '8080',
} = process.env;
const { SEVER_DATA_DIR = '.sever/examples' } = process.env;

@Controller('billing')
class BillingController {
  @Get('balance')
  @Tool('billing/balance')
  @Effect('read')
  balance(@SeverCaller() caller: Caller): object {
    return { agent: caller.agentId, cents: 125_000 };
  }

  /** Takes a minute, which a kill cuts short. */
  @Post('settle')
  @Tool('billing/settle')
  async settle(@SeverSignal() signal: AbortSignal): Promise<object> {
    process.stdout.write('settling\n');
    try {
      await delay(60_000, undefined, { signal });
      return { settled: true };
    } catch (error) {
      process.stdout.write('rolled back\n');
      throw error;
    }
  }
}

@Module({
  imports: [
    SeverModule.forRoot({
      url: SEVER_URL,
      enrolmentKey: SEVER_ENROLMENT_KEY,
      name: 'nestjs-service',
      keyDirectory: `${SEVER_DATA_DIR}/nestjs-service`,
    }),
  ],
  controllers: [BillingController],
})
class AppModule {}

async function main(): Promise<void> {
  const app = await NestFactory.create(AppModule, new FastifyAdapter(), { logger: ['error'] });
  app.enableShutdownHooks();
  await app.listen(Number(PORT), '127.0.0.1');
  process.stdout.write(`listening on ${await app.getUrl()}\n`);
}

void main();
