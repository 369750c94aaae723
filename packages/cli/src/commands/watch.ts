import type { Command } from 'commander';
import { ProblemBody } from '@sever/protocol';
import { connectLive, type LiveSocket } from '../client/connect-live';
import { ProblemResponseError, SeverClientError } from '../client/errors';
import type { CliIo } from '../cli-io';
import { inSession, type Session } from '../session';
import { LiveFeed } from './live-feed';

export function addWatchCommand(program: Command, io: CliIo): void {
  program
    .command('watch')
    .summary('follow kills, receipts and agents as they happen, until Ctrl-C')
    .description(
      'Prints one line for each kill, receipt and agent as it happens (NDJSON with --json), and the present state after ' +
        'each connection. Ends at Ctrl-C. Times are UTC.',
    )
    .action((_options: unknown, command: Command) => inSession(command, io, watch));
}

async function watch(session: Session): Promise<number> {
  const feed = new LiveFeed(session);
  const socket = connectLive({ url: session.url, key: session.key });
  return new Promise<number>((resolve, reject) => {
    const removeListener = session.io.onInterrupt(() => end(() => resolve(0)));
    const end = (settle: () => void) => {
      removeListener();
      socket.disconnect();
      settle();
    };
    follow(socket, feed, session, (error) => end(() => reject(error)));
  });
}

function follow(
  socket: LiveSocket,
  feed: LiveFeed,
  session: Session,
  fail: (error: Error) => void,
): void {
  let connections = 0;
  let saidLost = false;
  socket.on('kill', (kill) => feed.kill(kill));
  socket.on('receipt', (receipt) => feed.receipt(receipt));
  socket.on('agent', (agent) => feed.agent(agent));
  socket.on('connect', () => {
    connections += 1;
    saidLost = false;
    feed.notice(connections === 1 ? 'connected' : 'reconnected', `to ${session.url}`);
    // Subscribed first, read second: what happens in between is held and printed after the state.
    const connection = connections;
    feed.hold();
    session.client.listKills({ limit: 20 }).then(
      (kills) => {
        if (connection === connections) feed.state(kills.items);
      },
      (error: unknown) => {
        if (connection !== connections) return;
        feed.release();
        if (error instanceof SeverClientError) feed.notice('unread', `no state: ${error.message}`);
        else fail(error instanceof Error ? error : new Error(String(error)));
      },
    );
  });
  socket.on('disconnect', (reason) => {
    if (reason === 'io client disconnect') return;
    saidLost = true;
    feed.release();
    feed.notice('disconnected', `${reason}; reconnecting, what happens meanwhile is not shown`);
  });
  socket.on('connect_error', (error) => {
    const problem = ProblemBody.safeParse((error as { data?: unknown }).data);
    if (problem.success) fail(new ProblemResponseError(problem.data));
    else if (!socket.active) fail(error);
    else if (!saidLost) {
      saidLost = true;
      feed.notice('unreachable', `cannot reach ${session.url} (${error.message}); trying again`);
    }
  });
}
