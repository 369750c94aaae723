import { Inject, Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import { WebSocketGateway, WebSocketServer, type OnGatewayInit } from '@nestjs/websockets';
import type { LiveEvents, LiveReceipt, LiveRequests } from '@sever/protocol';
import type { Logger } from 'pino';
import type { ExtendedError, Server, Socket } from 'socket.io';
import { holds } from '../access/access.guard';
import { AgentEvents } from '../agents/agent-events';
import { Authenticator } from '../access/authenticator';
import { READERS } from '../access/policy';
import type { Principal } from '../access/principal';
import { LOG } from '../config/config.module';
import { toProblem } from '../operations/problem';
import { ProblemError } from '@sever/protocol';
import { LiveKills } from './live-kills';

interface SocketData {
  principal: Principal;
}
type LiveServer = Server<LiveRequests, LiveEvents, Record<string, never>, SocketData>;
type LiveSocket = Socket<LiveRequests, LiveEvents, Record<string, never>, SocketData>;

/** How often a connected key is looked at again: one that was revoked or has expired is let go. */
const RECHECK_MS = 10_000;

/** Tells consoles and `sever watch` what happens, as it happens, each tenant in a room of its own. */
@WebSocketGateway({ transports: ['websocket'], serveClient: true })
@Injectable()
export class LiveGateway implements OnGatewayInit, OnApplicationBootstrap {
  @WebSocketServer() private readonly server: LiveServer;

  constructor(
    private readonly authenticator: Authenticator,
    private readonly agents: AgentEvents,
    private readonly kills: LiveKills,
    @Inject(LOG) private readonly log: Logger,
  ) {}

  afterInit(server: LiveServer): void {
    server.use((socket, next) => void this.admit(socket, next));
  }

  onApplicationBootstrap(): void {
    this.agents.onChanged((tenant, agent) => this.server.to(tenant).emit('agent', agent));
    this.kills.start({
      kill: (tenant, kill) => this.server.to(tenant).emit('kill', kill),
      receipt: (tenant, receipt: LiveReceipt) => this.server.to(tenant).emit('receipt', receipt),
      watched: (tenant) => (this.server.of('/').adapter.rooms.get(tenant)?.size ?? 0) > 0,
    });
  }

  private async admit(socket: LiveSocket, next: (error?: ExtendedError) => void): Promise<void> {
    const { token } = socket.handshake.auth;
    try {
      const principal = await this.authenticator.authenticateBearer(String(token));
      if (!READERS.some((role) => holds(principal, role)))
        throw new ProblemError(
          'forbidden',
          "Watching takes a key with a human role or a playbook's.",
        );
      socket.data.principal = principal;
      await socket.join(principal.tenant);
      this.keepChecking(socket, String(token));
      next();
    } catch (error) {
      const problem = toProblem(error);
      next(Object.assign(new Error(problem.detail), { data: problem }));
    }
  }

  private keepChecking(socket: LiveSocket, token: string): void {
    const timer = setInterval(() => {
      this.authenticator.authenticateBearer(token).catch((error: unknown) => {
        if (toProblem(error).status === 401) socket.disconnect(true);
        else this.log.warn({ err: error }, 'could not look at a watching key again');
      });
    }, RECHECK_MS);
    timer.unref();
    socket.on('disconnect', () => clearInterval(timer));
  }
}
