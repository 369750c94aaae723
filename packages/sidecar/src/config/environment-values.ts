const PLACE = /\$\{([A-Za-z_][A-Za-z0-9_]*)\}/g;

/** The variables that a text names as `${NAME}`, each once. */
export function variablesIn(text: string): string[] {
  return [...new Set([...text.matchAll(PLACE)].map(([, name]) => name ?? ''))];
}

/** The text with each `${NAME}` replaced; a variable that is not set stays as it is written. */
export function withVariables(
  text: string,
  env: Readonly<Record<string, string | undefined>>,
): string {
  return text.replace(PLACE, (place, name: string) => env[name] ?? place);
}
