import { Module } from '@nestjs/common';
import { APP_FILTER, APP_INTERCEPTOR, APP_PIPE } from '@nestjs/core';
import { ZodSerializerInterceptor, ZodValidationPipe } from 'nestjs-zod';
import { HealthController } from './health.controller';
import { Housekeeping } from './housekeeping';
import { Metrics } from './metrics';
import { ProblemFilter } from './problem.filter';
import { StandingMetrics } from './standing-metrics';

@Module({
  controllers: [HealthController],
  providers: [
    Housekeeping,
    Metrics,
    StandingMetrics,
    { provide: APP_PIPE, useClass: ZodValidationPipe },
    { provide: APP_INTERCEPTOR, useClass: ZodSerializerInterceptor },
    { provide: APP_FILTER, useClass: ProblemFilter },
  ],
  exports: [Metrics],
})
export class OperationsModule {}
