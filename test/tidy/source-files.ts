import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const repositoryRoot = fileURLToPath(new URL('../..', import.meta.url))

export interface SourceFile {
  /** Relative to the repository's root, with forward slashes. */
  readonly path: string
  readonly text: string
  /** Module specifiers of every static, dynamic and type import or re-export. */
  readonly imports: readonly string[]
}

/** Tracked and new files that git does not ignore, so that a rule holds before the commit too. */
export function listFiles(): readonly string[] {
  const listed = execFileSync('git', ['ls-files', '-co', '--exclude-standard'], {
    cwd: repositoryRoot,
    encoding: 'utf8',
  })
  return listed.split('\n').filter((path) => path !== '' && existsSync(join(repositoryRoot, path)))
}

const importPattern =
  /(?:^|\n)\s*(?:import|export)\b[^'"\n;]*?(?:\{[^}]*\}[^'"\n;]*)?from\s*['"]([^'"]+)['"]/g
const bareImportPattern = /(?:^|\n)\s*import\s*['"]([^'"]+)['"]/g
const dynamicImportPattern = /\bimport\(\s*['"]([^'"]+)['"]\s*\)/g

export function importsOf(text: string): readonly string[] {
  const found: string[] = []
  for (const pattern of [importPattern, bareImportPattern, dynamicImportPattern]) {
    for (const match of text.matchAll(pattern)) if (match[1] !== undefined) found.push(match[1])
  }
  return found
}

export function readSources(): readonly SourceFile[] {
  return listFiles()
    .filter((path) => path.endsWith('.ts'))
    .map((path) => {
      const text = readFileSync(join(repositoryRoot, path), 'utf8')
      return { path, text, imports: importsOf(text) }
    })
}
