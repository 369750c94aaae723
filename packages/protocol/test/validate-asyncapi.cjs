'use strict';
// Reads an AsyncAPI document from standard input and writes what the parser has to say of it. A process of its own,
// because the parser's ES modules cannot be loaded by Jest.
const { text } = require('node:stream/consumers');
const { Parser } = require('@asyncapi/parser');

text(process.stdin)
  .then((source) => new Parser().parse(source))
  .then(({ document, diagnostics }) =>
    process.stdout.write(
      JSON.stringify({
        channels:
          document
            ?.allChannels()
            .all()
            .map((channel) => channel.address()) ?? null,
        diagnostics: diagnostics.map(({ severity, message, path }) => ({
          severity,
          message,
          path: path.join('/'),
        })),
      }),
    ),
  );
