import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '../../../test/support/eventually';
import { agentClient } from './support/agent-client';
import { sidecarBefore, type SidecarUnderTest } from './support/sidecar-under-test';

const SERVER = join(
  __dirname,
  '../../../node_modules/@modelcontextprotocol/server-filesystem/dist/index.js',
);

describe('a stdio server that the sidecar wraps: the file system', () => {
  let directory: string;
  let under: SidecarUnderTest;
  let url: string;

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'files-'));
    await writeFile(join(directory, 'note.txt'), 'what is in it');
    const argv = [process.execPath, SERVER, directory] as const;
    under = await sidecarBefore({
      files: {
        command: { argv: [...argv], env: {} },
        trustHints: true,
        tools: [{ match: 'write_*', effect: 'write' }],
      },
    });
    url = `${under.url}/files`;
  });
  afterAll(async () => {
    await under.sidecar.close();
    await rm(directory, { recursive: true });
  });

  it('shows and runs the tools that the agent may call, and no other', async () => {
    const scopes = ['tool:files/read_*', 'tool:files/list_*'];
    const client = await agentClient(url, under.enforcer.agent('reader', scopes));
    const names = (await client.listTools()).tools.map(({ name }) => name);
    expect(names).toContain('read_text_file');
    expect(names.filter((name) => !/^(read|list)_/.test(name))).toEqual([]);
    const read = { name: 'read_text_file', arguments: { path: join(directory, 'note.txt') } };
    expect(JSON.stringify((await client.callTool(read)).content)).toContain('what is in it');
    const write = { path: join(directory, 'new.txt'), content: 'x' };
    await expect(client.callTool({ name: 'write_file', arguments: write })).rejects.toThrow('403');
    await expect(readFile(write.path)).rejects.toThrow('ENOENT');
    await client.close();
  });

  it("stops at its agent's kill, while a neighbour's goes on in a process of its own", async () => {
    const doomed = await agentClient(url, under.enforcer.agent('doomed', ['tool:files/*']));
    const neighbour = await agentClient(url, under.enforcer.agent('neighbour', ['tool:files/*']));
    under.enforcer.kill('doomed');
    await expect(doomed.listTools()).rejects.toThrow('revoked');
    await eventually(() => expect(under.logged).toContain('a stdio server ended'));
    expect((await neighbour.listTools()).tools).not.toHaveLength(0);
    await Promise.all([doomed.close(), neighbour.close()]);
  });
});
