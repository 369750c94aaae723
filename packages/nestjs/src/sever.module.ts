import {
  Inject,
  Module,
  type DynamicModule,
  type OnApplicationShutdown,
  type Provider,
} from '@nestjs/common';
import { APP_FILTER, APP_INTERCEPTOR } from '@nestjs/core';
import { EnforcementPoint, type ConnectOptions } from '@sever/enforcement';
import { RefusalFilter } from './refusal.filter';
import { SeverGuard } from './sever.guard';
import { SeverInterceptor } from './sever.interceptor';

const IS_OWN = Symbol('the module has connected it');

/**
 * An enforcement point inside a Nest service, for all its modules. `EnforcementPoint` can be injected.
 *
 * @example
 * @Module({ imports: [SeverModule.forRoot({ url, enrolmentKey, name: 'billing', keyDirectory })] })
 * export class AppModule {}
 */
@Module({})
export class SeverModule implements OnApplicationShutdown {
  constructor(
    @Inject(EnforcementPoint) private readonly point: EnforcementPoint,
    @Inject(IS_OWN) private readonly isOwn: boolean,
  ) {}

  /** Connects while the service starts, and leaves when it has stopped. @throws as `EnforcementPoint.connect` does */
  static forRoot(options: ConnectOptions): DynamicModule {
    const useFactory = async (): Promise<EnforcementPoint> =>
      await EnforcementPoint.connect(options);
    return moduleOf({ provide: EnforcementPoint, useFactory }, true);
  }

  /** On an enforcement point that somebody else connects and closes. */
  static forPoint(point: EnforcementPoint): DynamicModule {
    return moduleOf({ provide: EnforcementPoint, useValue: point }, false);
  }

  /** After the server has stopped listening: until then a kill must still find what runs. */
  async onApplicationShutdown(): Promise<void> {
    if (this.isOwn) await this.point.close();
  }
}

function moduleOf(point: Provider, isOwn: boolean): DynamicModule {
  return {
    module: SeverModule,
    global: true,
    providers: [
      point,
      SeverGuard,
      { provide: IS_OWN, useValue: isOwn },
      { provide: APP_INTERCEPTOR, useClass: SeverInterceptor },
      { provide: APP_FILTER, useClass: RefusalFilter },
    ],
    exports: [EnforcementPoint, SeverGuard],
  };
}
