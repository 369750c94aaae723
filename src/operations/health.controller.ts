import { Controller, Get, Header, Res } from '@nestjs/common';
import { ApiExcludeController } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { Public } from '../access/policy';
import { Broker } from '../broker/broker';
import { within } from '../database/reach';
import { UnitOfWork } from '../database/unit-of-work';
import { EmergencyBook } from '../revocation/emergency/emergency-book';
import { Metrics } from './metrics';

const ANSWER_WITHIN_MS = 1_000;

@ApiExcludeController()
@Controller()
export class HealthController {
  constructor(
    private readonly work: UnitOfWork,
    private readonly broker: Broker,
    private readonly metrics: Metrics,
    private readonly emergencies: EmergencyBook,
  ) {}

  /** The process lives. Depends on nothing else: restarting it would not bring a database back. */
  @Get('healthz')
  @Public()
  health() {
    return { status: 'ok' };
  }

  /**
   * It can take orders. Without the database it takes emergency kills, so traffic must still come here; without the broker
   * enforcement is delayed. Without both it is of no use.
   */
  @Get('readyz')
  @Public()
  async ready(@Res({ passthrough: true }) reply: FastifyReply) {
    const database = await within(ANSWER_WITHIN_MS, this.work.querySystem('SELECT 1')).then(
      () => true,
      () => false,
    );
    const broker = this.broker.isConnected();
    if (!database && !broker) void reply.status(503);
    return {
      status: database && broker ? 'ok' : database || broker ? 'degraded' : 'unavailable',
      database,
      broker,
      emergencies_open: this.emergencies.size,
    };
  }

  @Get('metrics')
  @Public()
  @Header('content-type', 'text/plain; version=0.0.4; charset=utf-8')
  async scrape() {
    return this.metrics.text();
  }
}
