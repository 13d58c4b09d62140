import { globSync } from 'node:fs'
import { join } from 'node:path'
import type { ErrorCatalogue } from '@blockferry/runtime'

/** docs/errors.md, made from every workspace's `src/error-catalogue.ts`. */
export async function renderErrorReference(root: string): Promise<string> {
  const paths = globSync('{schemas,packages/*,services/*,cli}/src/**/error-catalogue.ts', {
    cwd: root,
  }).toSorted()
  const sections: string[] = []
  for (const path of paths) {
    const { catalogue } = (await import(join(root, path))) as { catalogue: ErrorCatalogue }
    const rows = Object.entries(catalogue)
      .toSorted(([a], [b]) => a.localeCompare(b))
      .map(([code, entry]) => `| \`${code}\` | ${cell(entry.summary)} | ${cell(entry.nextCommand)} |`)
    const workspace = path.slice(0, path.indexOf('/src/'))
    sections.push(
      `## ${workspace}\n\n| code | what is wrong | what to do next |\n|---|---|---|\n${rows.join('\n')}\n`,
    )
  }
  return `${head}\n${sections.join('\n')}`
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ')
}

const head = `# Errors

Every operating error carries a stable code: in logs (\`code\`), in problem details (RFC 9457, \`code\`), in a disk's state
(\`code\`, \`nextCommand\`). Made from the code by \`npm run docs\`; a test keeps it true.
`
