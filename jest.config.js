'use strict';
const { readFileSync } = require('node:fs');
const { join } = require('node:path');

// Packages that ship only ES modules: Jest's own loader cannot require them on Node 20, so they are compiled too.
const esModulesOnly = ['jose', 'content-disposition', 'p-cancelable'];

// Read here and not found by swc itself: what a test compiles to must not depend on the folder Jest was started from.
const { $schema, ...swcOptions } = JSON.parse(readFileSync(join(__dirname, '.swcrc'), 'utf8'));

/** @type {import('jest').Config} */
module.exports = {
  testEnvironment: 'node',
  testMatch: [
    '<rootDir>/test/{unit,integration,e2e,model,chaos,sweep,architecture}/**/*.test.ts',
    '<rootDir>/packages/*/test/**/*.test.ts',
  ],
  transform: { '^.+\\.(ts|m?js)$': ['@swc/jest', { ...swcOptions, swcrc: false }] },
  transformIgnorePatterns: [`/node_modules/(?!(${esModulesOnly.join('|')})/)`],
  moduleNameMapper: {
    '^@sever/protocol/semantics$': '<rootDir>/packages/protocol/src/semantics/index.ts',
    '^@sever/([a-z]+)$': '<rootDir>/packages/$1/src/index.ts',
  },
  modulePathIgnorePatterns: ['<rootDir>/(packages/[^/]+/)?dist/', '<rootDir>/\\.runtime/'],
  globalSetup: '<rootDir>/test/support/global-setup.ts',
  globalTeardown: '<rootDir>/test/support/global-teardown.ts',
  maxWorkers: 2,
  // For machines that do much else at the same time; a hang is still told from a slow start.
  testTimeout: 60_000,
};
