export { Effect, Scope, SeverCaller, SeverSignal, Tool } from './decorators';
export { SeverGuard } from './sever.guard';
export { SeverModule } from './sever.module';
