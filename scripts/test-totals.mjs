// Prints what Jest's result files in a folder add up to: two lines for each run, then one for all.
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';

const folder = process.argv[2];
let passed = 0;
let failed = 0;
for (const file of readdirSync(folder)
  .filter((name) => name.endsWith('.json'))
  .sort()) {
  const run = JSON.parse(readFileSync(path.join(folder, file), 'utf8'));
  // A suite that could not even be loaded counts no test of its own.
  const failedTests = run.numFailedTests + run.numRuntimeErrorTestSuites;
  console.log(path.basename(file, '.json').replace(/^\d+-node-/, 'Node '));
  line('Test Suites', run.numFailedTestSuites, 0, run.numPassedTestSuites, run.numTotalTestSuites);
  line('Tests', run.numFailedTests, run.numPendingTests, run.numPassedTests, run.numTotalTests);
  passed += run.numPassedTests;
  failed += failedTests;
}
console.log(`${passed} passed, ${failed} failed`);

function line(what, failures, skipped, successes, total) {
  const parts = [
    ...(failures > 0 ? [`${failures} failed`] : []),
    ...(skipped > 0 ? [`${skipped} skipped`] : []),
    `${successes} passed`,
    `${total} total`,
  ];
  console.log(`${what}: ${parts.join(', ')}`);
}
