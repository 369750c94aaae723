'use strict';
// Lets Node run the TypeScript of tests outside Jest, compiled as the build compiles it. The packages themselves are
// taken as built.
const { readFileSync } = require('node:fs');
const { join, resolve, sep } = require('node:path');
const { transformSync } = require('@swc/core');

const root = join(__dirname, '..', '..');
const { $schema, ...options } = JSON.parse(readFileSync(join(root, '.swcrc'), 'utf8'));

require.extensions['.ts'] = (module, filename) => {
  if (filename.includes(`${sep}node_modules${sep}`)) throw new Error(`not ours: ${filename}`);
  const { code } = transformSync(readFileSync(filename, 'utf8'), {
    ...options,
    filename,
    sourceMaps: 'inline',
    swcrc: false,
  });
  module._compile(code, filename);
};

const entry = process.argv[2];
if (require.main === module && entry !== undefined) {
  process.argv.splice(1, 1);
  process.setSourceMapsEnabled(true);
  require(resolve(entry));
}
