import ts from 'typescript';

/** TypeORM's own word for what a transaction hands out. */
const FOREIGN = new Set(['manager']);

/** Words that name no thing of this project, or name one badly; the glossary has the ones to use. */
const REFUSED = new Map(
  Object.entries({
    ban: 'suspend or kill',
    banned: 'suspended or killed',
    blacklist: 'denial, floor',
    whitelist: 'allow list',
    block: 'refuse, suspend',
    blocked: 'refused, suspended',
    manager: 'what it does',
    helper: 'what it does',
    helpers: 'what they do',
    util: 'what it does',
    utils: 'what they do',
  }),
);

/** Names that the source declares with a refused word in them, as `name (word: say … instead)`. */
export function badlyNamed(file: string, source: string): string[] {
  const tree = ts.createSourceFile(file, source, ts.ScriptTarget.Latest);
  const found: string[] = [];
  const visit = (node: ts.Node): void => {
    if (isNamedDeclaration(node)) {
      const name = node.name.text;
      const word = FOREIGN.has(name) ? undefined : wordsOf(name).find((part) => REFUSED.has(part));
      if (word) found.push(`${file}: ${name} (${word}: say ${REFUSED.get(word)} instead)`);
    }
    ts.forEachChild(node, visit);
  };
  visit(tree);
  return found;
}

/** File and folder names carry the same words. */
export function badlyNamedPath(path: string): string[] {
  const word = path.split(/[/.-]/).find((part) => REFUSED.has(part));
  return word ? [`${path} (${word}: say ${REFUSED.get(word)} instead)`] : [];
}

/** Keys of object literals are left out: they often spell somebody else's options. */
function isNamedDeclaration(node: ts.Node): node is ts.Declaration & { name: ts.Identifier } {
  const named = node as { name?: ts.Node };
  return (
    named.name !== undefined &&
    ts.isIdentifier(named.name) &&
    !ts.isPropertyAccessExpression(node) &&
    !ts.isImportClause(node) &&
    !ts.isPropertyAssignment(node) &&
    !ts.isImportSpecifier(node) &&
    !ts.isNamespaceImport(node)
  );
}

function wordsOf(name: string): string[] {
  return name
    .replace(/([a-z0-9])([A-Z])/g, '$1 $2')
    .toLowerCase()
    .split(/[^a-z0-9]+/);
}
