import { Module } from '@nestjs/common';
import { ConsoleController } from './console.controller';
import { LiveGateway } from './live.gateway';
import { LiveKills } from './live-kills';

@Module({ controllers: [ConsoleController], providers: [LiveGateway, LiveKills] })
export class LiveModule {}
