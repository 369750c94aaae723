import eslint from '@eslint/js';
import tseslint from 'typescript-eslint';

const readonly = (...names) => Object.fromEntries(names.map((name) => [name, 'readonly']));

export default tseslint.config(
  { ignores: ['**/dist/', '.runtime/', '.sever/', 'coverage/', '**/golden/'] },
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  {
    files: ['**/*.ts'],
    extends: [eslint.configs.recommended, ...tseslint.configs.recommendedTypeChecked],
    languageOptions: {
      parserOptions: {
        project: './tsconfig.json',
        tsconfigRootDir: import.meta.dirname,
      },
    },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
      // Knows about decorator metadata: what Nest injects by its type stays a value import.
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports' }],
      '@typescript-eslint/no-unused-vars': [
        'error',
        { argsIgnorePattern: '^_', varsIgnorePattern: '^_', ignoreRestSiblings: true },
      ],
      // A promise of a port is a promise also where this implementation has nothing to wait for.
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true, allowNullish: true },
      ],
      'no-restricted-syntax': [
        'error',
        {
          selector: 'ExportDefaultDeclaration',
          message: 'Named exports only: a thing has one name everywhere.',
        },
      ],
      eqeqeq: 'error',
      'no-console': 'error',
    },
  },
  {
    files: ['test/**/*.ts', 'packages/*/test/**/*.ts', 'bench/**/*.ts'],
    rules: {
      // Matchers such as expect.any() and parsed JSON are `any` by their own types.
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-return': 'off',
      '@typescript-eslint/no-unsafe-call': 'off',
      '@typescript-eslint/unbound-method': 'off',
      'no-console': 'off',
    },
  },
  {
    // Jest calls these by their default export.
    files: ['test/support/global-*.ts'],
    rules: { 'no-restricted-syntax': 'off' },
  },
  {
    files: ['**/*.{js,cjs,mjs}'],
    extends: [eslint.configs.recommended],
    languageOptions: {
      globals: readonly(
        ...['console', 'process', 'performance', 'URL', 'URLSearchParams', 'fetch', 'crypto'],
        ...['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'AbortController'],
      ),
    },
    rules: {
      // A file may say in a comment what it takes from its surroundings.
      'no-redeclare': ['error', { builtinGlobals: false }],
      'no-unused-vars': ['error', { varsIgnorePattern: '^\\$schema$', argsIgnorePattern: '^_' }],
    },
  },
  {
    files: ['**/*.{js,cjs}'],
    languageOptions: {
      sourceType: 'commonjs',
      globals: readonly('require', 'module', '__dirname'),
    },
  },
  {
    // Served to browsers as they are.
    files: ['src/live/console/**/*.js'],
    languageOptions: {
      globals: readonly(
        ...[
          'window',
          'document',
          'location',
          'navigator',
          'localStorage',
          'sessionStorage',
          'Node',
        ],
        ...['requestAnimationFrame', 'cancelAnimationFrame', 'HTMLElement', 'Event', 'io'],
      ),
    },
  },
);
