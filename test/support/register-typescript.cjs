'use strict';
// Lets a plain Node process run the project's sources: `node -r ./test/support/register-typescript.cjs file.ts`.
const { readFileSync } = require('node:fs');
const { join } = require('node:path');
const { transformSync } = require('@swc/core');

const { $schema, ...options } = JSON.parse(readFileSync(join(__dirname, '../../.swcrc'), 'utf8'));

require.extensions['.ts'] = (module, filename) => {
  const source = readFileSync(filename, 'utf8');
  const settings = { ...options, swcrc: false, sourceMaps: 'inline', filename };
  module._compile(transformSync(source, settings).code, filename);
};
