import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { projectFiles, read, ROOT } from './project-files';

interface Service {
  image?: string;
  build?: string;
  command?: string[];
  restart?: string;
  depends_on?: Record<string, { condition: string }>;
  environment?: Record<string, string>;
  ports?: string[];
  volumes?: string[];
  healthcheck?: { test: string[] };
}

describe('docker-compose.yml', () => {
  const compose = parse(read('docker-compose.yml')) as {
    services: Record<string, Service>;
    volumes: Record<string, unknown>;
  };
  const services = Object.entries(compose.services);
  const mounts = services.flatMap(([, { volumes = [] }]) =>
    volumes.map((mount) => mount.split(':')),
  );

  it('names only services and volumes that it has', () => {
    expect(Object.keys(compose.services)).toEqual(
      expect.arrayContaining(['postgres', 'broker-init', 'nats', 'control-plane', 'sidecar']),
    );
    const wanted = services.flatMap(([, { depends_on = {} }]) => Object.keys(depends_on));
    expect(Object.keys(compose.services)).toEqual(expect.arrayContaining(wanted));
    const hosts = services.flatMap(([, { environment = {} }]) =>
      Object.values(environment).flatMap(
        (value) => /(?:@|\/\/)([a-z-]+):\d+/.exec(value)?.[1] ?? [],
      ),
    );
    expect(hosts.sort()).toEqual(['control-plane', 'nats', 'postgres']);
    expect([...new Set(mounts.map(([volume]) => volume))].sort()).toEqual(
      Object.keys(compose.volumes).sort(),
    );
  });

  it('waits for what a service needs: for health, or for the one-shot to have ended', () => {
    for (const [, { depends_on = {} }] of services)
      for (const [needed, { condition }] of Object.entries(depends_on)) {
        const service = compose.services[needed];
        const oneShot = service?.restart === 'no';
        expect(condition).toBe(oneShot ? 'service_completed_successfully' : 'service_healthy');
        expect(service?.healthcheck === undefined).toBe(oneShot);
      }
  });

  it('lets nothing listen beyond this machine', () => {
    const published = services.flatMap(([, { ports = [] }]) => ports);
    expect(published.length).toBeGreaterThan(0);
    for (const port of published) expect(port).toMatch(/^127\.0\.0\.1:\d+:\d+$/);
  });

  it('holds no secret: each comes from the environment', () => {
    const settings = services.flatMap(([, { environment = {} }]) => Object.entries(environment));
    const secrets = settings.filter(([name]) => /PASSWORD|(?<!STREAM)_KEY$/.test(name));
    expect(secrets.map(([name]) => name).sort()).toEqual([
      'POSTGRES_PASSWORD',
      'SEVER_BOOTSTRAP_KEY',
      'SEVER_ENROLMENT_KEY',
      'SEVER_MASTER_KEY',
    ]);
    for (const [, value] of secrets) expect(value).toMatch(/^\$\{\w+:[?-].*\}$/);
    const url = compose.services['control-plane']?.environment?.SEVER_DATABASE_URL;
    expect(url).toMatch(
      /^postgres:\/\/sever:\$\{POSTGRES_PASSWORD:\?[^}]*\}@postgres:5432\/sever$/,
    );
  });

  it('sets only settings that exist', () => {
    const known = read('src/config/config.ts') + read('packages/sidecar/src/settings.ts');
    const set = services.flatMap(([, { environment = {} }]) => Object.keys(environment));
    for (const name of set.filter((candidate) => candidate.startsWith('SEVER_')))
      expect(known).toContain(`${name}:`);
  });

  it('runs versions that keep their data where it is mounted, and that speak what the control plane needs', () => {
    const { postgres, nats } = compose.services;
    expect(postgres?.image).toBe('postgres:18');
    expect(postgres?.volumes).toEqual(['postgres:/var/lib/postgresql']);
    const [, minor] = /^nats:2\.(\d+)-alpine$/.exec(nats?.image ?? '') ?? [];
    expect(Number(minor)).toBeGreaterThanOrEqual(12);
    expect(nats?.command).toEqual(['--config', '/broker/nats.conf']);
    expect(compose.services['broker-init']?.command).toContain('/broker');
  });

  it('starts programs that the image has', () => {
    const scripts = services.flatMap(([, { command = [] }]) =>
      command[0] === 'node' ? [command[1]] : [],
    );
    expect(scripts).toContain('bin/sever.js');
    for (const script of scripts) expect(existsSync(join(ROOT, script ?? ''))).toBe(true);
  });
});

describe('Dockerfile', () => {
  const lines = read('Dockerfile')
    .split('\n')
    .filter((line) => line && !line.startsWith('#'));
  const final = lines.slice(lines.findLastIndex((line) => line.startsWith('FROM ')));

  it('runs the control plane on Node 24 as somebody who is not root', () => {
    expect(final[0]).toBe('FROM node:24-slim');
    expect(final.filter((line) => line.startsWith('USER '))).toEqual(['USER node']);
    expect(final.at(-1)).toBe('CMD ["node", "dist/main.js"]');
    expect(existsSync(join(ROOT, 'src/main.ts'))).toBe(true);
  });

  it('copies what the build reads, and every package’s manifest before the install', () => {
    const copied = lines
      .filter((line) => /^COPY (?!--from)/.test(line))
      .flatMap((line) => line.split(/\s+/).slice(1, -1));
    for (const source of copied) expect(existsSync(join(ROOT, source))).toBe(true);
    const install = lines.findIndex((line) => line.includes('npm ci'));
    const manifests = projectFiles('packages').filter((file) =>
      /^packages\/\w+\/package\.json$/.test(file),
    );
    for (const manifest of manifests)
      expect(lines.findIndex((line) => line.includes(manifest))).toBeLessThan(install);
    expect(manifests.every((manifest) => copied.includes(manifest))).toBe(true);
    expect(copied).toEqual(expect.arrayContaining(['src', 'packages', 'scripts', '.swcrc']));
  });

  it('keeps what is not part of it out of the image', () => {
    const ignored = read('.dockerignore').split('\n');
    expect(ignored).toEqual(
      expect.arrayContaining(['.git', '**/node_modules', '**/dist', '.sever', '.env', 'test']),
    );
  });
});
