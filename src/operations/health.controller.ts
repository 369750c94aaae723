import { Controller, Get, Header, Res } from '@nestjs/common';
import { ApiExcludeController } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { Public } from '../access/policy';
import { Broker } from '../broker/broker';
import { UnitOfWork } from '../database/unit-of-work';
import { Metrics } from './metrics';

@ApiExcludeController()
@Controller()
export class HealthController {
  constructor(
    private readonly work: UnitOfWork,
    private readonly broker: Broker,
    private readonly metrics: Metrics,
  ) {}

  /** The process lives. Depends on nothing else: restarting it would not bring a database back. */
  @Get('healthz')
  @Public()
  health() {
    return { status: 'ok' };
  }

  /** It can take orders: the database answers. A broker that is away delays enforcement, and does not stop a kill. */
  @Get('readyz')
  @Public()
  async ready(@Res({ passthrough: true }) reply: FastifyReply) {
    const database = await this.work.querySystem('SELECT 1').then(
      () => true,
      () => false,
    );
    const broker = this.broker.isConnected();
    if (!database) void reply.status(503);
    return {
      status: database && broker ? 'ok' : database ? 'degraded' : 'unavailable',
      database,
      broker,
    };
  }

  @Get('metrics')
  @Public()
  @Header('content-type', 'text/plain; version=0.0.4; charset=utf-8')
  async scrape() {
    return this.metrics.text();
  }
}
