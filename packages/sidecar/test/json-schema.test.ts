import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { sidecarFileSchema } from '../src/config/json-schema';

describe('the JSON schema of sidecar.yaml', () => {
  it('is the one that the package holds; SEVER_WRITE_SCHEMA=1 writes it anew', () => {
    const path = join(__dirname, '../sidecar.schema.json');
    if (process.env['SEVER_WRITE_SCHEMA'] === '1') {
      writeFileSync(path, `${JSON.stringify(sidecarFileSchema(), null, 2)}\n`);
    }
    const held = readFileSync(path, 'utf8');
    expect(JSON.parse(held)).toEqual(JSON.parse(JSON.stringify(sidecarFileSchema())));
  });

  it('knows the keys of the file and of its upstreams', () => {
    const text = JSON.stringify(sidecarFileSchema());
    for (const key of ['mode', 'upstreams', 'tools', 'token_from', 'credential', 'command']) {
      expect(text).toContain(`"${key}"`);
    }
  });
});
