import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';

export interface LintVerdict {
  readonly status: number | null;
  /** `file:line rule`, sorted, without repetition. */
  readonly problems: readonly string[];
}

/**
 * What the project's linter settings say of a tree of files (path → text) in an empty folder.
 * The settings are copied, so the rules at work are the ones that guard the project itself.
 */
export function lintTree(files: Readonly<Record<string, string>>): LintVerdict {
  const root = mkdtempSync(join(tmpdir(), 'losant-usage-lint-'));
  try {
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), text);
    }
    for (const settings of ['.oxlintrc.json', 'tsconfig.json', 'lint', 'package.json'])
      cpSync(settings, join(root, settings), { recursive: true });
    symlinkSync(resolve('node_modules'), join(root, 'node_modules'));
    const args = [resolve('node_modules/oxlint/bin/oxlint'), '--type-aware', '--format', 'json'];
    const { status, stdout } = spawnSync(process.execPath, args, {
      cwd: root,
      encoding: 'utf8',
      timeout: 30_000,
    });
    return { status, problems: [...new Set(problemsIn(stdout))].toSorted() };
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

interface Diagnostic {
  readonly code: string;
  readonly filename: string;
  readonly labels: readonly { readonly span: { readonly line: number } }[];
}

function problemsIn(json: string): string[] {
  const { diagnostics } = JSON.parse(json) as { readonly diagnostics: readonly Diagnostic[] };
  return diagnostics.map(({ code, filename, labels }) => {
    const rule = /\(([^)]+)\)/.exec(code)?.[1] ?? code;
    return `${filename}:${labels[0]?.span.line} ${rule}`;
  });
}
